"""Classification: from a pending comment to a recorded decision.

`drain` claims batches under a lease until nothing is due. The one rule: whatever happens to a
worker, the comment stays due. A claim moves `classify_at` forward by the lease and counts the
attempt; only the recorded decision takes it away. So it is safe to run twice and in two places.
"""

import logging
import random
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Float, Integer, Row, Select, bindparam, select, update
from sqlalchemy.orm import Session

from service.base import logs
from service.base.config import Settings
from service.base.errors import Unavailable
from service.base.jobs import Job
from service.core import campaigns, moderation
from service.core.campaigns import Place
from service.core.moderation import Ballot, DecisionView
from service.core.webhooks.audience import read_audiences
from service.judgement import judging, shadows
from service.judgement.judging import Case, Judgement, Rulebook
from service.judgement.shadows import Shadow
from service.judgement.shelf import Shelf
from service.ledger import tallies
from service.ledger.bulk import Bulk
from service.ledger.db import Database, db_now, tally_of
from service.ledger.models import COMMENTS, POLICY_ACTOR
from service.operations import traces
from service.pure import policy
from service.pure.policy import Status
from service.pure.scoring import Content, Scorer
from workers import context

log = logging.getLogger(__name__)

STRIKES = 3
# A killed worker leaves a whole batch to be tried again; one by one is a transaction for each.
_FEW = 16
# Among so many that are due first, what was tried before is looked for.
_LOOKED_AT = 256
WARM_UP = Content(body="Thank you, the second step was what I had missed.", author_name="Ada")
_TOLD_TOGETHER = 12
# Jobs end after this long and ring again, so that a fresh fork takes over: its memory is new.
_SHIFT_SECONDS = 30.0


def classify() -> None:
    """RQ job: take the bell down, then drain.

    Takes nothing, since the ledger knows what is due. A batch that takes longer than the lease
    is cut short by SIGALRM's default action, which ends this child and nothing else: a loop in
    C code could not be ended from Python.
    """
    here = context.current()
    here.database.doorbell.answer(Job.CLASSIFY)
    traces.begin(here.settings, "worker")
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    until = time.monotonic() + _SHIFT_SECONDS
    try:
        while (
            drain_batch(
                here.database, here.scorer, here.settings, shelf=here.shelf, alarm=_set_alarm
            )
            and time.monotonic() < until
        ):
            pass
    finally:
        _set_alarm(0)
        traces.end()
    if time.monotonic() >= until:
        here.database.doorbell.ring(Job.CLASSIFY)


def warm_up(database: Database, scorer: Scorer) -> None:
    """Make before the fork what each child would make anew: 80 ms of each decision's way.

    The model's lazily made parts, the driver, the statements as the database wants them.
    Claims nothing, and leaves no connection open for a child to inherit.
    """
    scorer.score([WARM_UP])
    try:
        with database.transaction() as session:
            claim(session, 0, 1)  # makes the statements of all three
            row: Any = SimpleNamespace(id="none", email_normalised="", thread_id="none")
            campaigns.look_up(session, [row], scorer.sketches(scorer.fold([WARM_UP.body])))
            judging.cases(session, [], [])
            judging.rulebooks(session, scorer, Shelf(), {"none"})
            moderation.record(session, [Ballot("none", 1, Status.PENDING, POLICY_ACTOR, "")])
            read_audiences(session.connection(), {"none"})
            for statement in Bulk.declared:
                statement.prepare(session.connection())
    except Unavailable as error:
        log.warning("the ledger is not there yet: %s", error)
    finally:
        database.close()


def _set_alarm(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, seconds)


def drain(database: Database, scorer: Scorer, settings: Settings) -> int:
    """Decide everything that is due, and give how many comments that were."""
    total = 0
    shelf = Shelf()
    while done := drain_batch(database, scorer, settings, shelf=shelf):
        total += done
    return total


def drain_batch(
    database: Database,
    scorer: Scorer,
    settings: Settings,
    *,
    shelf: Shelf | None = None,
    alarm: Callable[[float], None] | None = None,
) -> int:
    """Claim, score, decide and record one batch.

    A comment on its second attempt is among few in its batch, on its third it is alone: if it is
    what broke the others, it takes only few with it again, and nobody a third time.

    Args:
        database: the ledger.
        scorer: the classifier.
        settings: batch size and lease.
        shelf: the sites' layers already read, if any.
        alarm: called with the seconds after which this process should be ended, 0 for never.

    Returns:
        How many comments were claimed; 0 when nothing is due.
    """
    lease = settings.classify_lease_seconds
    with database.transaction() as session:
        batch = claim(session, settings.classify_batch, lease, first=draw())
    if not batch:
        return 0
    claimed_at = time.time_ns()
    if alarm is not None:
        alarm(lease * 0.8)
    scored = _score(database, scorer, shelf or Shelf(), batch)
    decided = _record(database, scored)
    _tell(decided)
    if (spans := traces.current()) is not None:
        spans.batch(
            [row.id for row in batch],
            decided,
            claimed_at=claimed_at,
            scored_at=scored.at,
            scoring_seconds=scored.seconds,
            recorded_at=time.time_ns(),
        )
    return len(batch)


@dataclass(frozen=True, slots=True)
class _Scored:
    """What is to be recorded of a batch.

    Attributes:
        ballots: one for each of its comments.
        places: among those that are alike; of the comments that were scored.
        silent: what models on trial would have decided.
        seconds: how long the classifier took.
        at: when it was done, in nanoseconds since 1970.
    """

    ballots: Sequence[Ballot]
    places: Sequence[Place]
    silent: Sequence[Shadow]
    seconds: float
    at: int


def _score(database: Database, scorer: Scorer, shelf: Shelf, batch: Sequence[Row[Any]]) -> _Scored:
    """Judge a batch by its sites' rules; what was tried too often goes to a person unseen."""
    failed = [row for row in batch if row.classify_attempts > STRIKES]
    sound = [row for row in batch if row.classify_attempts <= STRIKES]
    folded = scorer.fold([row.body for row in sound])
    sketches = scorer.sketches(folded)
    with database.reading() as session:
        places = campaigns.look_up(session, sound, sketches)
        cases = judging.cases(session, sound, [place.echoes for place in places], folded)
        books = judging.rulebooks(session, scorer, shelf, {row.site_id for row in sound})
    began = time.monotonic()
    judgements = judging.judge(scorer, cases, books)
    seconds, at = time.monotonic() - began, time.time_ns()
    ballots = [
        _ballot(row, judgement, place)
        for row, judgement, place in zip(sound, judgements, places, strict=True)
    ] + [_ballot(row, Judgement(policy.CLASSIFIER_ERROR, None, None)) for row in failed]
    return _Scored(ballots, places, _ask_shadows(scorer, cases, books), seconds, at)


def _record(database: Database, scored: _Scored) -> list[tuple[str, DecisionView]]:
    """Record a batch in one transaction; give what was not decided elsewhere meanwhile."""
    with database.transaction() as session:
        outcome = moderation.record(session, scored.ballots)
        campaigns.keep(session, scored.places)
        shadows.note(session, scored.silent)
        decided = [
            (ballot.comment_id, entry)
            for ballot, entry in zip(scored.ballots, outcome, strict=True)
            if isinstance(entry, DecisionView)
        ]
        lost = len(outcome) - len(decided)
        tally = tally_of(session.connection())
        tally.observe(tallies.BATCH, len(outcome))
        tally.observe(tallies.SCORING_SECONDS, scored.seconds)
        tally.count(tallies.LOST, by=lost)
    if lost:
        log.info("%d of %d were decided elsewhere meanwhile", lost, len(outcome))
    return decided


def _tell(decided: Sequence[tuple[str, DecisionView]]) -> None:
    """Log what was decided, so that one comment's way can be found by its id.

    A few to a line: one line each would cost more, and a line of more than 4 kB might be torn
    apart by those of other processes on its way through a pipe (pipe(7), PIPE_BUF).
    """
    for first in range(0, len(decided), _TOLD_TOGETHER):
        few = decided[first : first + _TOLD_TOGETHER]
        log.info(
            "decided %s",
            ", ".join(f"{comment_id} {entry.status} by {entry.rule}" for comment_id, entry in few),
            extra=logs.fields(
                decided=[
                    {
                        "comment": comment_id,
                        "decision": entry.id,
                        "status": entry.status,
                        "rule": entry.rule,
                    }
                    for comment_id, entry in few
                ]
            ),
        )


# The columns a claim brings along.
_CLAIMED = (*judging.COLUMNS, COMMENTS.c.version, COMMENTS.c.classify_attempts)


class Tried(Enum):
    """How often a comment was tried, as far as it matters to who is tried with it."""

    NEVER = 0
    ONCE = 1
    OFTEN = 2


# How many of them at once.
_MOST = {Tried.NEVER: sys.maxsize, Tried.ONCE: _FEW, Tried.OFTEN: 1}


def draw() -> Tried:
    """Draw by lot who goes first: in six of eight claims what was never tried.

    A stream of new comments would else keep what failed once waiting for ever; and if what failed
    went first, a hundred comments that kill would keep all others waiting.
    """
    return {0: Tried.ONCE, 1: Tried.OFTEN}.get(random.getrandbits(3), Tried.NEVER)


def claim(
    session: Session, most: int, lease_seconds: int, first: Tried = Tried.NEVER
) -> Sequence[Row[Any]]:
    """Lease what is due: what was never tried, many at once; else few that failed once; else one.

    Args:
        session: a transaction's.
        most: how many at once.
        lease_seconds: until it is due again.
        first: which of the three goes before the other two.
    """
    for tried in dict.fromkeys((first, *Tried)):
        if claimed := _lease(session, tried, most, lease_seconds):
            return claimed
    return []


def _lease(session: Session, tried: Tried, most: int, lease_seconds: int) -> Sequence[Row[Any]]:
    given = {"most": min(most, _MOST[tried]), "lease": lease_seconds}
    return session.connection().execute(_LEASING[tried], given).all()


def _due(tried: Tried) -> Select[Any]:
    attempts = COMMENTS.c.classify_attempts
    most = bindparam("most", type_=Integer)
    due = (
        select(COMMENTS.c.id)
        .where(COMMENTS.c.classify_at <= db_now())
        .order_by(COMMENTS.c.classify_at)
        .with_for_update(skip_locked=True)  # PostgreSQL; on SQLite the transaction is the lock
    )
    if tried is Tried.NEVER:
        return due.where(attempts == 0).limit(most)
    # Only among what is due first: a backlog of a million that nobody tried would be read to its
    # end. What was tried comes there once all that was due before it has been claimed.
    ahead = due.add_columns(attempts).limit(_LOOKED_AT).subquery()
    was = ahead.c.classify_attempts
    return select(ahead.c.id).where(was == 1 if tried is Tried.ONCE else was > 1).limit(most)


# Made once: to make one took as long as to ask it, twice or more in each job.
_LEASING = {
    tried: update(COMMENTS)
    .where(COMMENTS.c.id.in_(_due(tried).scalar_subquery()))
    .values(
        classify_at=db_now(bindparam("lease", type_=Float)),
        classify_attempts=COMMENTS.c.classify_attempts + 1,
    )
    .returning(*_CLAIMED)
    for tried in Tried
}


def _ask_shadows(
    scorer: Scorer, cases: Sequence[Case], books: Mapping[str, Rulebook]
) -> list[Shadow]:
    """Ask the shadows of the sites that have one."""
    silent = {site_id: book.shadow for site_id, book in books.items() if book.shadow is not None}
    asked = [case for case in cases if case.site_id in silent]
    return [
        Shadow(
            comment_id=case.comment_id,
            site_id=case.site_id,
            number=silent[case.site_id].number,
            score=judgement.score,
            ruling=judgement.ruling,
        )
        for case, judgement in zip(asked, judging.judge(scorer, asked, silent), strict=True)
    ]


def _ballot(row: Row[Any], judgement: Judgement, place: Place | None = None) -> Ballot:
    ruling, verdict = judgement.ruling, judgement.verdict
    return Ballot(
        comment_id=row.id,
        seen_version=row.version,
        status=ruling.status,
        actor=POLICY_ACTOR,
        reason=ruling.reason,
        rule=ruling.rule,
        score=judgement.score,
        model_version=judgement.version,
        clues=()
        if verdict is None
        else tuple(
            {"label": clue.label, "weight": round(clue.weight, 3), "kind": clue.kind}
            for clue in verdict.clues
        ),
        campaign_id=place.group.id if place and place.group else None,
        echoes=place.echoes if place else None,
    )
