"""Draining: claims, leases, strikes, and decisions that are recorded once."""

import importlib.metadata
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.sql.compiler import SQLCompiler

from classifier import BUILTIN
from service.base.config import Settings
from service.base.jobs import Doorbell
from service.core import comments, moderation, sites
from service.core.comments import CommentView
from service.core.moderation import Ballot, DecisionView
from service.ledger.bulk import Bulk
from service.ledger.db import Database, db_now, utc_now
from service.ledger.models import COMMENTS, Decision
from service.pure.policy import Policy, Status
from service.pure.scoring import Content, Folded, Scorer, Tuning, Verdict
from tests.cast import (
    HAM,
    SPAM,
    make_comment,
    make_comments,
    make_site,
    make_verified_author,
    open_ledger,
)
from workers import classification
from workers.classification import Tried


@pytest.fixture
def short_lease(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(HAMGATE_CLASSIFY_LEASE_SECONDS="2")


class Held(Scorer):
    """A classifier that waits inside the scoring call until the test lets it go on."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.go_on = threading.Event()

    def score(
        self,
        batch: Sequence[Content],
        tuning: Tuning | None = None,
        folded: Sequence[Folded | None] | None = None,
    ) -> list[Verdict | None]:
        self.entered.set()
        assert self.go_on.wait(30)
        return super().score(batch, tuning, folded)


def break_on_one_comment(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the model raise on any batch with a certain comment in it."""
    assert scorer.model is not None
    sound = scorer.model.score

    def score(contents: Sequence[Content], *others: Any) -> list[Verdict]:
        if any("break" in content.body for content in contents):
            raise ZeroDivisionError
        return list(sound(contents, *others))

    monkeypatch.setattr(scorer.model, "score", score)


def test_drain_decides_everything_that_is_due(
    database: Database, scorer: Scorer, settings: Settings
) -> None:
    site = make_site(database)
    ham = make_comment(database, site, body=HAM)
    spam = make_comment(database, site, body=SPAM)

    assert classification.drain(database, scorer, settings) == 2

    assert look(database, ham).status is Status.APPROVED
    assert look(database, spam).status is Status.SPAM


def test_a_decision_carries_score_model_and_clues(
    database: Database, scorer: Scorer, settings: Settings
) -> None:
    comment = make_comment(database, make_site(database), body=SPAM)
    classification.drain(database, scorer, settings)

    (decision,) = history(database, comment)

    assert decision.actor == "policy"
    assert decision.rule == "spam_score"
    assert decision.score is not None
    assert 0.98 < decision.score <= 1
    assert scorer.model is not None
    assert decision.model_version == scorer.model.version
    assert decision.clues
    assert all(set(clue) == {"label", "weight", "kind"} for clue in decision.clues)


def test_nothing_is_due_twice(database: Database, scorer: Scorer, settings: Settings) -> None:
    make_comment(database, make_site(database))
    classification.drain(database, scorer, settings)

    assert classification.drain(database, scorer, settings) == 0


def test_batches_are_no_larger_than_the_setting(
    make_settings: Callable[..., Settings], scorer: Scorer
) -> None:
    settings = make_settings(HAMGATE_CLASSIFY_BATCH="3")
    database = open_ledger(settings)
    site = make_site(database)
    for _ in range(7):
        make_comment(database, site)

    sizes = []
    while size := classification.drain_batch(database, scorer, settings):
        sizes.append(size)

    assert sizes == [3, 3, 1]
    database.close()


def test_the_sites_own_policy_rules(database: Database, scorer: Scorer, settings: Settings) -> None:
    site = make_site(database)
    with database.transaction() as session:
        sites.set_policy(session, site.id, Policy(premoderation=True, banned_emails=("x@y.org",)))
    held = make_comment(database, site)
    banned = make_comment(database, site, email="X@Y.org", email_normalised="X@y.org")

    classification.drain(database, scorer, settings)

    assert look(database, held).status is Status.PENDING
    assert history(database, held)[0].rule == "premoderation"
    assert look(database, banned).status is Status.REJECTED


def test_an_approved_author_is_trusted_only_with_a_verified_email(
    database: Database, scorer: Scorer, settings: Settings
) -> None:
    site = make_site(database)
    make_comment(database, site, body=HAM)
    classification.drain(database, scorer, settings)
    before = make_comment(database, site, body=SPAM)
    classification.drain(database, scorer, settings)
    make_verified_author(database, site, "ada@example.org")
    impostor = make_comment(database, site, body=SPAM)
    after = make_comment(database, site, body=SPAM, proven_at=utc_now())
    classification.drain(database, scorer, settings)

    assert look(database, before).status is Status.SPAM
    assert look(database, impostor).status is Status.SPAM
    assert look(database, after).status is Status.APPROVED
    assert history(database, after)[0].rule == "known_author"


def test_a_missing_model_holds_every_comment(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    comment = make_comment(database, make_site(database))

    classification.drain(database, Scorer(tmp_path / "nowhere"), settings)

    assert look(database, comment).status is Status.PENDING
    assert history(database, comment)[0].rule == "no_verdict"
    assert history(database, comment)[0].score is None


def test_an_altered_model_holds_every_comment(
    database: Database, settings: Settings, tmp_path: Path
) -> None:
    shutil.copytree(BUILTIN, tmp_path / "model")
    for array in (tmp_path / "model").glob("*.npy"):
        content = bytearray(array.read_bytes())
        content[-1] ^= 1
        array.write_bytes(content)
    comment = make_comment(database, make_site(database))

    scorer = Scorer(tmp_path / "model")
    classification.drain(database, scorer, settings)

    assert scorer.fault is not None
    assert look(database, comment).status is Status.PENDING
    assert history(database, comment)[0].rule == "no_verdict"


def test_a_comment_that_raises_is_held_and_its_neighbours_are_not(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site(database)
    good = make_comment(database, site, body=HAM)
    bad = make_comment(database, site, body="please break")
    scorer = Scorer()
    break_on_one_comment(scorer, monkeypatch)

    classification.drain(database, scorer, settings)

    assert look(database, good).status is Status.APPROVED
    assert look(database, bad).status is Status.PENDING
    assert history(database, bad)[0].rule == "no_verdict"


def test_a_persons_decision_meanwhile_is_not_overruled(
    database: Database, settings: Settings
) -> None:
    site = make_site(database)
    comment = make_comment(database, site, body=SPAM)
    held = Held()
    worker = threading.Thread(target=classification.drain, args=(database, held, settings))
    worker.start()
    assert held.entered.wait(10)

    ballot = Ballot(comment, 1, Status.APPROVED, "moderator:m", "I know her")
    with database.transaction() as session:
        moderation.record(session, [ballot], site_id=site.id)
    held.go_on.set()
    worker.join(10)

    assert look(database, comment).status is Status.APPROVED
    assert [decision.actor for decision in history(database, comment)] == ["moderator:m"]


def test_a_verdict_that_comes_after_its_lease_changes_nothing(
    short_lease: Settings, scorer: Scorer
) -> None:
    database = open_ledger(short_lease)
    comment = make_comment(database, make_site(database))
    held = Held()
    late = threading.Thread(target=classification.drain_batch, args=(database, held, short_lease))
    late.start()
    assert held.entered.wait(10)

    drain_until_decided(database, scorer, short_lease, [comment])
    held.go_on.set()
    late.join(10)

    assert len(history(database, comment)) == 1
    assert look(database, comment).version == 2
    database.close()


def test_after_three_strikes_a_comment_is_held_and_left_alone(
    short_lease: Settings, scorer: Scorer
) -> None:
    database = open_ledger(short_lease)
    comment = make_comment(database, make_site(database))
    for _ in range(classification.STRIKES):
        deadline = time.monotonic() + 10
        claimed = 0
        while not claimed and time.monotonic() < deadline:
            with database.transaction() as session:  # as a worker that dies right after it
                claimed = len(classification.claim(session, 10, 1))
            time.sleep(0.05)
        assert claimed == 1

    drain_until_decided(database, scorer, short_lease, [comment])

    assert look(database, comment).status is Status.PENDING
    (decision,) = history(database, comment)
    assert decision.rule == "classifier_error"
    assert classification.drain(database, scorer, short_lease) == 0
    database.close()


def test_what_failed_once_is_tried_with_few_others_and_then_alone(
    short_lease: Settings, scorer: Scorer
) -> None:
    database = open_ledger(short_lease)
    site = make_site(database)
    for _ in range(20):
        make_comment(database, site)

    def claim(lease_seconds: int) -> int:
        with database.transaction() as session:
            return len(classification.claim(session, 100, lease_seconds))

    assert claim(0) == 20
    assert [claim(0), claim(60)] == [16, 4]
    assert classification.drain_batch(database, scorer, short_lease) == 1
    database.close()


@pytest.mark.parametrize(
    ("first", "attempts"), [(Tried.NEVER, [1] * 9), (Tried.ONCE, [2] * 3), (Tried.OFTEN, [3])]
)
def test_new_comments_need_not_keep_waiting_what_was_tried_before(
    database: Database, first: Tried, attempts: list[int]
) -> None:
    make_tried(database, [1, 1, 1, 2, 2] + [0] * 9)

    with database.transaction() as session:
        claimed = classification.claim(session, 100, 60, first)

    assert [row.classify_attempts for row in claimed] == attempts


def test_everybody_goes_first_at_times() -> None:
    drawn = Counter(classification.draw() for _ in range(8_000))

    assert set(drawn) == set(Tried)
    assert drawn[Tried.NEVER] > drawn[Tried.ONCE] + drawn[Tried.OFTEN]


def test_what_was_tried_before_is_not_looked_for_in_all_that_waits(database: Database) -> None:
    make_tried(database, [0] * (classification._LOOKED_AT + 1) + [1])

    with database.transaction() as session:
        claimed = classification.claim(session, 2, 60, Tried.ONCE)
        assert [row.classify_attempts for row in claimed] == [1, 1]
        claimed = classification.claim(session, 2, 60, Tried.ONCE)
        assert [row.classify_attempts for row in claimed] == [2]


def make_tried(database: Database, attempts: Sequence[int]) -> None:
    """Make a comment for each number of attempts, due one after another."""
    site = make_site(database)
    made = make_comments(database, site, [HAM] * len(attempts))
    with database.transaction() as session:
        for number, (comment, count) in enumerate(zip(made, attempts, strict=True)):
            session.execute(
                update(COMMENTS)
                .where(COMMENTS.c.id == comment)
                .values(classify_at=db_now(number - 600), classify_attempts=count)
            )


def look(database: Database, comment: str) -> CommentView:
    with database.reading() as session:
        return comments.get(session, comment)


def history(database: Database, comment: str) -> list[DecisionView]:
    with database.reading() as session:
        return moderation.history(session, comments.get(session, comment).site_id, comment)


def drain_until_decided(
    database: Database, scorer: Scorer, settings: Settings, wanted: Sequence[str]
) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        classification.drain(database, scorer, settings)
        with database.reading() as session:
            decided = session.scalar(
                select(func.count()).select_from(Decision).where(Decision.comment_id.in_(wanted))
            )
        if decided == len(wanted):
            return
        time.sleep(0.1)
    raise AssertionError("not decided in time")


def test_a_child_writes_no_statement_and_looks_up_no_version_that_all_others_need_as_well(
    database: Database, scorer: Scorer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for statement in Bulk.declared:  # as in a worker that has just begun
        monkeypatch.setattr(statement, "_made", {})
    classification.warm_up(database, scorer)
    web = open_ledger(settings)
    make_comment(web, make_site(web), body=HAM)
    web.close()
    made: list[str] = []
    compile_one, look_up = SQLCompiler.__init__, importlib.metadata.version

    def compile_and_note(self: SQLCompiler, *given: Any, **more: Any) -> None:
        compile_one(self, *given, **more)
        made.append(self.string)

    def look_up_and_note(name: str) -> str:
        made.append(name)
        return look_up(name)

    monkeypatch.setattr(SQLCompiler, "__init__", compile_and_note)
    monkeypatch.setattr(importlib.metadata, "version", look_up_and_note)
    assert classification.drain_batch(database, scorer, settings) == 1
    assert classification.drain_batch(database, scorer, settings) == 0
    assert Doorbell(settings).ping()

    assert made == []
