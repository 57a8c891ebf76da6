"""Training: people's decisions become a version, and a better one scores the next comment."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from service.base.config import Settings
from service.base.errors import NotFound
from service.core import sites
from service.core.changes import OPERATOR
from service.core.sites import SiteView
from service.judgement import backtest, labels, learning, previews, shadows, versions
from service.judgement.learning import Lesson
from service.judgement.shelf import Shelf
from service.ledger.db import Database
from service.ledger.models import ModelVersion, Site
from service.pure.policy import Policy, Status
from service.pure.scoring import Scorer
from tests.cast import (
    HAM,
    decide,
    decisions_by_comment,
    make_comment,
    make_comments,
    make_site,
    odd_talk,
    status_of,
)
from tests.conftest import Valkey
from workers import classification, context, sweeper, training


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(HAMGATE_TRAIN_BURST="100000")


@pytest.fixture
def site(database: Database) -> SiteView:
    return make_site(database)


@pytest.fixture
def here(settings: Settings, scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The job runs in this process over the test's ledger, at its own priority."""
    monkeypatch.setattr(context, "_scorer", scorer)
    monkeypatch.setattr("os.nice", lambda _: 0)
    opened = context.open_for(settings)
    yield
    opened.database.close()
    signal.alarm(0)
    monkeypatch.setattr(context, "_context", None)


def teach(
    database: Database,
    scorer: Scorer,
    settings: Settings,
    site: SiteView,
    count: int = 30,
    *,
    seed: int = 0,
    actor: str = "moderator:m1",
) -> None:
    """Have a person decide on so many good comments and as much spam."""
    ham = make_comments(database, site, odd_talk(count, spam=False, seed=seed))
    spam = make_comments(database, site, odd_talk(count, spam=True, seed=seed))
    classification.drain(database, scorer, settings)
    for one, other in zip(ham, spam, strict=True):
        decide(database, [one], Status.APPROVED, actor)
        decide(database, [other], Status.SPAM, actor)


def train(database: Database, scorer: Scorer, settings: Settings, site: SiteView) -> Lesson:
    return learning.train(database, scorer, site.id, settings)


def fate(database: Database, scorer: Scorer, settings: Settings, site: SiteView, body: str) -> str:
    """Give what becomes of a new comment: status and model version."""
    (comment,) = make_comments(database, site, [body])
    classification.drain(database, scorer, settings)
    decision = decisions_by_comment(database)[comment][-1]
    return f"{decision.status} {(decision.model_version or '').partition('+')[2]}"


def test_what_a_site_teaches_scores_its_next_comment(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    rabbit, good = odd_talk(1, spam=True, seed=7)[0], odd_talk(1, spam=False, seed=7)[0]
    assert fate(database, scorer, settings, site, rabbit) == "approved "
    teach(database, scorer, settings, site)

    lesson = train(database, scorer, settings, site)

    assert (lesson.number, lesson.promoted) == (1, True)
    assert fate(database, scorer, settings, site, f"{rabbit} again") in ("spam 1", "pending 1")
    assert fate(database, scorer, settings, site, f"{good} again") == "approved 1"


def test_another_site_is_left_as_it_was(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    other = make_site(database, "other")
    teach(database, scorer, settings, site)
    train(database, scorer, settings, site)

    rabbit = odd_talk(1, spam=True, seed=8)[0]

    assert fate(database, scorer, settings, other, rabbit) == "approved "


def test_the_report_is_kept_with_the_version(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    teach(database, scorer, settings, site)
    train(database, scorer, settings, site)

    with database.reading() as session:
        view = versions.get(session, site.id, 1)

    assert view.base == scorer.version
    assert view.report["labels"] == {"ham": 30, "spam": 30, "quarantined": 0}
    assert (view.report["unseen"], view.report["against"]) == (60, 0)
    assert view.report["comparison"]["accuracy_candidate"] > 0.9
    assert view.report["comparison"]["accuracy_current"] < 0.7
    assert view.report["expected"]["comments"] == 60
    assert sum(view.report["appraisal"]["ham"]) == sum(view.report["appraisal"]["spam"]) == 30
    assert view.report["appraisal"]["curve"] == []


def test_of_very_many_decisions_the_newest_are_looked_at(
    database: Database,
    scorer: Scorer,
    settings: Settings,
    site: SiteView,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(learning, "_LOOKED_AT", 40)
    teach(database, scorer, settings, site)  # good and spam in turns, 60 in all

    train(database, scorer, settings, site)

    with database.reading() as session:
        view = versions.get(session, site.id, 1)
    assert view.report["unseen"] == 40
    assert sum(view.report["appraisal"]["ham"]) == sum(view.report["appraisal"]["spam"]) == 20


def test_a_candidate_that_is_not_better_is_kept_and_does_not_score(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    teach(database, scorer, settings, site)
    train(database, scorer, settings, site)
    teach(database, scorer, settings, site, 3, seed=1)

    lesson = train(database, scorer, settings, site)

    assert (lesson.number, lesson.promoted) == (2, False)
    assert "only 6 held-out decisions" in lesson.reason
    with database.reading() as session:
        assert versions.standing(session, site.id).model == 1


def test_too_few_decisions_make_no_version(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    teach(database, scorer, settings, site, 5)

    lesson = train(database, scorer, settings, site)

    assert lesson.number is None
    assert "needs 10 good comments and 10 spam" in lesson.reason


def test_a_burst_of_one_key_teaches_nothing_until_it_is_released(
    database: Database, scorer: Scorer, make_settings: Callable[..., Settings], site: SiteView
) -> None:
    careful = make_settings(HAMGATE_TRAIN_BURST="20")
    teach(database, scorer, careful, site, actor="key:stolen")
    assert train(database, scorer, careful, site).number is None

    with database.transaction() as session:
        labels.release(session, site.id, "key:stolen")

    assert train(database, scorer, careful, site).promoted


def test_a_version_for_another_shipped_model_is_passed_over(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    teach(database, scorer, settings, site)
    train(database, scorer, settings, site)
    with database.transaction() as session:
        raw = session.scalar(select(ModelVersion.tuning))
        assert raw is not None
        from dataclasses import replace

        from service.pure.scoring import Tuning

        older = replace(Tuning.from_bytes(bytes(raw)), model_version="older").to_bytes()
        session.execute(update(ModelVersion).values(tuning=older, base="older"))
        session.execute(update(Site).values(thresholds=None))

    rabbit = odd_talk(1, spam=True, seed=9)[0]
    assert fate(database, scorer, settings, site, rabbit) == "approved "

    lesson = train(database, scorer, settings, site)
    assert (lesson.number, lesson.promoted) == (2, True)


def test_a_site_is_due_when_there_is_something_to_do(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    def due() -> bool:
        with database.reading() as session:
            return learning.due(session, scorer, settings) == [site.id]

    assert due(), "it has no thresholds yet"
    train(database, scorer, settings, site)
    assert not due()

    teach(database, scorer, settings, site, 12)
    assert not due(), "24 decisions are too few"
    decide(database, make_comments(database, site, [HAM]), Status.APPROVED)
    assert due()
    train(database, scorer, settings, site)
    assert not due()

    with database.transaction() as session:
        chosen = session.scalar(select(Site.thresholds))
        assert chosen is not None
        session.execute(update(Site).values(thresholds={**chosen, "at": "2020-01-01"}))
    assert due(), "its thresholds are old"


def test_without_a_model_nobody_is_due(
    database: Database, settings: Settings, site: SiteView, tmp_path: Path
) -> None:
    with database.reading() as session:
        assert learning.due(session, Scorer(tmp_path / "nowhere"), settings) == []


@pytest.mark.usefixtures("here")
def test_the_job_trains_every_site_that_is_due(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    make_site(database, "quiet")
    teach(database, scorer, settings, site)

    training.train()

    with database.reading() as session:
        assert versions.standing(session, site.id).model == 1
        assert learning.due(session, scorer, settings) == []


@pytest.mark.usefixtures("here")
def test_the_sweeper_rings_for_training_only_if_there_is_something_to_learn(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView, valkey: Valkey
) -> None:
    from service.base.jobs import Job

    sweeper.look_for_labels(context.current())
    assert database.doorbell.backlog(Job.TRAIN) == 1
    valkey.flush()
    train(database, scorer, settings, site)

    sweeper.look_for_labels(context.current())

    assert database.doorbell.backlog(Job.TRAIN) == 0


def test_a_rollback_counts_from_the_next_comment_on(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    teach(database, scorer, settings, site)
    train(database, scorer, settings, site)
    with database.transaction() as session:
        versions.roll_back(session, site.id, actor=OPERATOR)

    rabbit = odd_talk(1, spam=True, seed=10)[0]
    assert fate(database, scorer, settings, site, rabbit) == "approved "

    teach(database, scorer, settings, site, seed=11)
    lesson = train(database, scorer, settings, site)
    assert not lesson.promoted
    assert "a person has stopped promotions" in lesson.reason


def test_a_shadow_scores_beside_and_decides_nothing(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    teach(database, scorer, settings, site)
    train(database, scorer, settings, site)
    with database.transaction() as session:
        versions.roll_back(session, site.id, actor=OPERATOR)
        versions.set_shadow(session, site.id, 1)

    rabbit = odd_talk(1, spam=True, seed=12)[0]
    assert fate(database, scorer, settings, site, rabbit) == "approved "

    with database.reading() as session:
        moves = shadows.moves(session, site.id)
    ((was, would),) = moves
    assert was is Status.APPROVED
    assert would in (Status.PENDING, Status.SPAM)


def test_a_backtest_lists_what_would_change_and_changes_nothing(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    teach(database, scorer, settings, site)
    lesson = train(database, scorer, settings, site)
    with database.transaction() as session:
        versions.roll_back(session, site.id, actor=OPERATOR)
    before = {key: len(value) for key, value in decisions_by_comment(database).items()}
    told: list[tuple[int, int]] = []

    found = backtest.run(
        database,
        scorer,
        Shelf(),
        site.id,
        days=7,
        number=lesson.number,
        progress=lambda done, of: told.append((done, of)),
    )

    assert found.comments == 60
    assert told[0] == (0, 60)
    assert told[-1] == (60, 60)
    assert found.changed >= 25
    assert found.mistakes("after") < found.mistakes("before")
    for (was, would), examples in found.examples.items():
        assert was is Status.APPROVED
        assert would in (Status.PENDING, Status.SPAM)
        assert 1 <= len(examples) <= 5
        assert all("rabbit" in one.excerpt for one in examples)
    assert {k: len(v) for k, v in decisions_by_comment(database).items()} == before


def test_a_backtest_of_the_present_policy_changes_nothing(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    make_comments(database, site, odd_talk(5, spam=False))
    classification.drain(database, scorer, settings)

    same = backtest.run(database, scorer, Shelf(), site.id, days=1)
    held = backtest.run(
        database, scorer, Shelf(), site.id, days=1, policy=Policy(premoderation=True)
    )

    assert same.changed == 0
    assert held.moves == {(Status.APPROVED, Status.PENDING): 5}


def test_versions_are_tried_on_what_they_have_not_seen(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    teach(database, scorer, settings, site)
    train(database, scorer, settings, site)
    teach(database, scorer, settings, site, 10, seed=3)

    with database.reading() as session:
        shipped, first = learning.evaluate(session, scorer, Shelf(), site.id, settings)

    assert (shipped.number, shipped.decisions) == (0, 80)
    assert (first.number, first.decisions) == (1, 20)
    assert first.right > first.right_shipped
    assert first.loss < first.loss_shipped


def test_classification_goes_on_while_a_site_is_taught(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    teach(database, scorer, settings, site)
    decided: list[Status] = []

    def classify_meanwhile(done: int, of: int, step: str) -> None:
        comment = make_comment(database, site, body=f"{HAM} {step}")
        classification.drain(database, scorer, settings)
        decided.append(status_of(database, comment))

    learning.train(database, scorer, site.id, settings, progress=classify_meanwhile)

    assert decided == [Status.APPROVED] * 8


@pytest.mark.usefixtures("here")
def test_a_page_asks_and_the_trainer_answers(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    make_comments(database, site, odd_talk(3, spam=False))
    classification.drain(database, scorer, settings)
    wanted = Policy(premoderation=True, hold_at_most=0.05)
    with database.transaction() as session:
        asked = previews.ask(session, site.id, wanted)
        wrong = previews.ask(session, site.id, Policy(), number=9)
        assert previews.get(session, site.id, asked).answer is None

    training.train()

    with database.reading() as session:
        found = previews.get(session, site.id, asked)
        failed = previews.get(session, site.id, wrong)
        assert sites.find_by_id(session, site.id).policy == Policy(), "nothing is changed"
        with pytest.raises(NotFound):
            previews.get(session, "sit_other", asked)
    assert found.policy == wanted
    assert found.answer is not None
    assert (found.answer["comments"], found.answer["changed"]) == (3, 3)
    (move,) = found.answer["moves"]
    assert (move["before"], move["after"], move["count"]) == ("approved", "pending", 3)
    assert [one["comments"] for one in found.answer["expected"]] == [3, 3]
    assert failed.answer is not None
    assert "there is no version 9" in failed.answer["error"]


def test_a_changed_budget_makes_a_site_due(
    database: Database, scorer: Scorer, settings: Settings, site: SiteView
) -> None:
    train(database, scorer, settings, site)
    with database.transaction() as session:
        sites.set_policy(session, site.id, Policy(hold_at_most=0.1))

    with database.reading() as session:
        assert learning.due(session, scorer, settings) == [site.id]
    train(database, scorer, settings, site)
    with database.reading() as session:
        assert learning.due(session, scorer, settings) == []
