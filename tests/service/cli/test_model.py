"""`hamgate model` and `hamgate policy`: what an operator sees, chooses, and is told."""

import json
import re
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import update

from service.base.config import Settings
from service.core import sites
from service.core.sites import SiteView
from service.judgement import learning, versions
from service.ledger.db import Database
from service.ledger.models import ModelVersion
from service.pure.policy import Policy, Status
from service.pure.scoring import Scorer
from tests.cast import SPAM, decide, make_comments, make_site, odd_talk, open_ledger
from tests.service.conftest import Ended
from tests.workers.test_training import teach
from workers import classification

Command = Callable[..., Ended]


@pytest.fixture
def database(installed: Settings) -> Iterator[Database]:
    opened = open_ledger(installed)
    yield opened
    opened.close()


@pytest.fixture
def site(database: Database) -> SiteView:
    return make_site(database)


@pytest.fixture
def taught(database: Database, scorer: Scorer, installed: Settings, site: SiteView) -> SiteView:
    """A site whose version 1 scores."""
    teach(database, scorer, installed, site)
    assert learning.train(database, scorer, site.id, installed).promoted
    return site


def standing(database: Database, site: SiteView) -> versions.Standing:
    with database.reading() as session:
        return versions.standing(session, site.id)


def test_training_by_hand_says_what_came_of_it(
    command: Command, database: Database, scorer: Scorer, installed: Settings, site: SiteView
) -> None:
    nothing = command("model", "train", "blog")
    assert (nothing.code, "nobody has decided anything yet" in nothing.out) == (0, True)

    teach(database, scorer, installed, site)
    ended = command("model", "train", "blog")

    assert ended.code == 0
    assert "labels: 30 good, 30 spam" in ended.out
    assert "version 1 scores from now on: better in 100% of resamples" in ended.out
    assert standing(database, site).model == 1


@pytest.mark.usefixtures("taught")
def test_the_list_shows_how_each_version_was_judged(command: Command) -> None:
    ended = command("model", "list", "blog", COLUMNS="120")

    assert re.search(r"^ +0 +shipped", ended.out, re.MULTILINE)
    assert re.search(r"^ +1 +20\d\d-.* 60 +\d+\.\d% +60 +50\.0% +scores", ended.out, re.MULTILINE)
    assert "labels: 30 good, 30 spam" in ended.out


@pytest.mark.usefixtures("taught")
def test_the_list_can_be_read_by_programs(command: Command) -> None:
    found = json.loads(command("model", "list", "blog", "--json").out)

    assert (found["model"], found["shadow"], found["promotes"]) == (1, None, True)
    assert found["versions"][0]["report"]["unseen"] == 60


@pytest.mark.usefixtures("taught")
def test_a_version_is_shown_with_its_report_and_its_history(command: Command) -> None:
    shown = command("model", "show", "blog", "1").out

    assert "taught by 30 good comments and 30 spam; 0 labels in quarantine" in shown
    assert "on 60 decisions that version 0 had not seen: right" in shown
    assert "0 -> 1  by training: better in" in shown
    assert "the shipped model alone" in command("model", "show", "blog", "0").out


def test_a_rollback_can_be_taken_back(
    command: Command, database: Database, taught: SiteView
) -> None:
    back = command("model", "rollback", "blog")
    assert back.out == "version 0 scores from now on, in place of 1\n"
    assert "`hamgate model promote blog 1` takes it back" in back.err
    assert standing(database, taught) == versions.Standing(0, None, promotes=False)
    assert "since a person rolled back" in command("model", "list", "blog").out

    forth = command("model", "promote", "blog", "1")

    assert forth.out == "version 1 scores from now on\n"
    assert standing(database, taught) == versions.Standing(1, None, promotes=True)


def test_a_shadow_is_set_looked_at_and_put_away(
    command: Command, database: Database, scorer: Scorer, installed: Settings, taught: SiteView
) -> None:
    assert "decides nothing" in command("model", "shadow", "blog", "0").out
    make_comments(database, taught, odd_talk(3, spam=True, seed=4))
    classification.drain(database, scorer, installed)

    shown = command("model", "show", "blog", "0").out
    assert "as shadow: 3 comments scored beside the present model" in shown
    assert re.search(r"\d were (spam|pending), it would have them approved", shown)

    assert command("model", "shadow", "blog", "off").out == "no shadow any more\n"
    assert standing(database, taught).shadow is None


def test_labels_in_quarantine_are_named_and_released(
    command: Command, database: Database, scorer: Scorer, installed: Settings, site: SiteView
) -> None:
    ids = make_comments(database, site, odd_talk(35, spam=True))
    classification.drain(database, scorer, installed)
    decide(database, ids, Status.SPAM, "key:stolen")

    listed = command("model", "list", "blog").out
    assert "quarantined: 35 of key:stolen, too many at once" in listed
    assert "hamgate model release blog key:stolen" in listed

    assert (
        command("model", "release", "blog", "key:stolen").out
        == "35 decisions of key:stolen are believed\n"
    )
    assert "labels: 0 good, 35 spam" in command("model", "list", "blog").out


def test_versions_are_evaluated_on_unseen_decisions(
    command: Command, database: Database, scorer: Scorer, installed: Settings, taught: SiteView
) -> None:
    teach(database, scorer, installed, taught, 5, seed=2)

    trials = json.loads(command("model", "evaluate", "blog", "--json").out)
    shown = command("model", "evaluate", "blog").out

    assert [(trial["number"], trial["decisions"]) for trial in trials] == [(0, 70), (1, 10)]
    assert re.search(r"^ +1 +10 +\d+\.\d%", shown, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("model", "list", "nowhere"), 1, "there is no site “nowhere”"),
        (("model", "promote", "blog", "9"), 1, "there is no version 9"),
        (("model", "promote", "blog", "x"), 2, "'x' is not a valid integer"),
        (("model", "rollback", "blog"), 1, "there is nothing to go back to"),
        (("model", "shadow", "blog", "x"), 2, "write its number, or off"),
        (("model", "release", "blog", "key:x"), 1, "key:x has decided nothing on this site"),
        (("policy", "set", "blog"), 2, "name at least one option"),
        (("policy", "set", "blog", "--hold-at-most", "2"), 2, "write it as 2% or 0.1%"),
        (("policy", "set", "blog", "--hold-at-most", "102%"), 2, "write it as 2% or 0.1%"),
        (
            ("policy", "set", "blog", "--hold-at-most", "0.05%"),
            1,
            "--mark-at-most must not be greater than --hold-at-most",
        ),
        (("policy", "backtest", "blog"), 2, "name what to try"),
        (("policy", "backtest", "blog", "--model", "7"), 1, "there is no version 7"),
    ],
)
@pytest.mark.usefixtures("site")
def test_what_cannot_be_done_is_said(
    command: Command, arguments: tuple[str, ...], code: int, said: str
) -> None:
    ended = command(*arguments)

    assert (ended.code, said in ended.err) == (code, True), ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    "arguments",
    [("model", "promote", "blog", "1"), ("model", "shadow", "blog", "1"),
     ("policy", "backtest", "blog", "--model", "1")],
)  # fmt: skip
def test_a_version_for_another_shipped_model_is_refused(
    command: Command, database: Database, taught: SiteView, arguments: tuple[str, ...]
) -> None:
    with database.transaction() as session:
        session.execute(update(ModelVersion).values(base="older"))

    ended = command(*arguments)

    assert taught.slug == "blog"
    assert ended.code == 1
    assert "taught on top of the shipped model older" in ended.err


def test_a_policy_is_shown_with_the_queue_to_expect(
    command: Command, database: Database, scorer: Scorer, installed: Settings, site: SiteView
) -> None:
    assert "no comments yet to say what queue to expect" in command("policy", "show", "blog").out
    make_comments(database, site, [*odd_talk(3, spam=False), SPAM])
    classification.drain(database, scorer, installed)

    shown = command("policy", "show", "blog").out

    assert "hold_at_most: 2%\nmark_at_most: 0.1%\n" in shown
    assert "of 4.0 comments a day 0.0 held and 1.0 marked as spam" in shown
    assert "(measured on 4)" in shown


def test_a_policy_is_changed_only_after_a_look_and_a_yes(
    command: Command, database: Database, scorer: Scorer, installed: Settings, site: SiteView
) -> None:
    make_comments(database, site, odd_talk(3, spam=False))
    classification.drain(database, scorer, installed)

    asked = command("policy", "set", "blog", "--premoderation", "--hold-at-most", "5%")
    assert "of 3 comments of the last 7 days, 3 would fare otherwise" in asked.out
    assert "3 approved -> pending" in asked.out
    assert "no rule objected -> the site looks at every comment first" in asked.out
    assert policy_of(database, site).premoderation is False

    done = command("policy", "set", "blog", "--premoderation", "--hold-at-most", "5%", "--yes")
    assert done.out.endswith("saved; it counts from the next comment on\n")
    assert policy_of(database, site).premoderation is True
    assert policy_of(database, site).hold_at_most == 0.05


def test_a_backtest_compares_a_version_with_people(command: Command, taught: SiteView) -> None:
    shown = command("policy", "backtest", "blog", "--model", "0").out

    assert taught.slug == "blog"
    assert re.search(r"of 60 comments of the last 7 days, \d+ would fare otherwise", shown)
    assert re.search(r"\d+ (spam|pending) -> approved", shown)
    assert re.search(r"outright against what people said: now \d+, then 30", shown)


def policy_of(database: Database, site: SiteView) -> Policy:
    with database.reading() as session:
        return sites.find_by_id(session, site.id).policy
