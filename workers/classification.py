"""Classification: from a pending comment to a recorded decision.

`drain` claims batches under a lease until nothing is due. The one rule: whatever happens to a
worker, the comment stays due. A claim moves `classify_at` forward by the lease and counts the
attempt; only the recorded decision takes it away. So it is safe to run twice and in two places.
"""

import logging
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Row, select, tuple_, update
from sqlalchemy.orm import Session

from service import moderation, policy, sites, text
from service.config import Settings
from service.db import Database, db_now
from service.errors import Unavailable
from service.jobs import Job
from service.models import COMMENTS, POLICY_ACTOR, Comment, VerifiedAuthor
from service.moderation import Ballot, DecisionView
from service.policy import Policy, Ruling, Signals, Status
from service.scoring import Content, Scorer, Verdict
from workers import context

log = logging.getLogger(__name__)

STRIKES = 3
WARM_UP = Content(body="Thank you, the second step was what I had missed.", author_name="Ada")
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
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    until = time.monotonic() + _SHIFT_SECONDS
    try:
        while (
            drain_batch(here.database, here.scorer, here.settings, alarm=_set_alarm)
            and time.monotonic() < until
        ):
            pass
    finally:
        _set_alarm(0)
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
            claim(session, 0, 1)
            sites.policies(session, {"none"})
            moderation.record(session, [Ballot("none", 1, Status.PENDING, POLICY_ACTOR, "")])
    except Unavailable as error:
        log.warning("the ledger is not there yet: %s", error)
    finally:
        database.close()


def _set_alarm(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, seconds)


def drain(database: Database, scorer: Scorer, settings: Settings) -> int:
    """Decide everything that is due, and give how many decisions were recorded."""
    total = 0
    while done := drain_batch(database, scorer, settings):
        total += done
    return total


def drain_batch(
    database: Database,
    scorer: Scorer,
    settings: Settings,
    *,
    alarm: Callable[[float], None] | None = None,
) -> int:
    """Claim, score, decide and record one batch.

    A comment on its second or third attempt is alone in its batch: if it is what broke the
    first, it cannot take others with it again.

    Args:
        database: the ledger.
        scorer: the classifier.
        settings: batch size and lease.
        alarm: called with the seconds after which this process should be ended, 0 for never.

    Returns:
        How many comments were claimed; 0 when nothing is due.
    """
    lease = settings.classify_lease_seconds
    with database.transaction() as session:
        batch = claim(session, settings.classify_batch, lease)
    if not batch:
        return 0
    if alarm is not None:
        alarm(lease * 0.8)
    failed = [row for row in batch if row.classify_attempts > STRIKES]
    sound = [row for row in batch if row.classify_attempts <= STRIKES]
    verdicts = scorer.score([_content(row) for row in sound])
    with database.transaction() as session:
        rulings = _rule(session, sound, verdicts)
        ballots = [
            _ballot(row, ruling, verdict)
            for row, ruling, verdict in zip(sound, rulings, verdicts, strict=True)
        ] + [_ballot(row, policy.CLASSIFIER_ERROR, None) for row in failed]
        outcome = moderation.record(session, ballots)
    tallies = Counter(
        f"{entry.status} {entry.rule}" for entry in outcome if isinstance(entry, DecisionView)
    )
    if tallies:
        database.doorbell.tally(tallies)
    lost = len(batch) - tallies.total()
    if lost:
        log.info("%d of %d were decided elsewhere meanwhile", lost, len(batch))
    return len(batch)


# The columns a claim brings along: all that rules and classifier look at.
_CLAIMED = (
    COMMENTS.c.id,
    COMMENTS.c.site_id,
    COMMENTS.c.thread_id,
    COMMENTS.c.version,
    COMMENTS.c.name,
    COMMENTS.c.email_normalised,
    COMMENTS.c.url,
    COMMENTS.c.body,
    COMMENTS.c.address,
    COMMENTS.c.honeypot_filled,
    COMMENTS.c.classify_attempts,
)


def claim(session: Session, most: int, lease_seconds: int) -> Sequence[Row[Any]]:
    """Lease what is due: first what was never tried, many at once; else one that failed."""
    fresh = _claim_where(session, COMMENTS.c.classify_attempts == 0, most, lease_seconds)
    return fresh or _claim_where(session, COMMENTS.c.classify_attempts > 0, 1, lease_seconds)


def _claim_where(
    session: Session, condition: Any, most: int, lease_seconds: int
) -> Sequence[Row[Any]]:
    due = (
        select(COMMENTS.c.id)
        .where(COMMENTS.c.classify_at <= db_now(), condition)
        .order_by(COMMENTS.c.classify_at)
        .limit(most)
        .with_for_update(skip_locked=True)  # PostgreSQL; on SQLite the transaction is the lock
    )
    claim = (
        update(COMMENTS)
        .where(COMMENTS.c.id.in_(due.scalar_subquery()))
        .values(
            classify_at=db_now(lease_seconds),
            classify_attempts=COMMENTS.c.classify_attempts + 1,
        )
        .returning(*_CLAIMED)
    )
    return session.connection().execute(claim).all()


def _content(row: Row[Any]) -> Content:
    return Content(
        body=row.body,
        author_name=row.name,
        author_url=row.url or "",
        email=row.email_normalised,
    )


def _rule(
    session: Session, rows: Sequence[Row[Any]], verdicts: Sequence[Verdict | None]
) -> list[Ruling]:
    policies = sites.policies(session, {row.site_id for row in rows})
    trusted = _trusted(session, rows)
    return [
        policy.decide(
            _signals(row, verdict, (row.site_id, row.email_normalised) in trusted),
            policies.get(row.site_id, Policy()),
        )
        for row, verdict in zip(rows, verdicts, strict=True)
    ]


def _signals(row: Row[Any], verdict: Verdict | None, trusted: bool) -> Signals:
    return Signals(
        email=row.email_normalised,
        address=row.address,
        words=text.words(f"{row.name} {row.body}"),
        link_hosts=text.link_hosts(row.body, row.url),
        honeypot_filled=row.honeypot_filled,
        approved_before=trusted,
        email_verified=trusted,
        score=None if verdict is None else verdict.score,
    )


def _trusted(session: Session, rows: Sequence[Row[Any]]) -> set[tuple[str, str]]:
    """Give (site, e-mail) of the verified authors who have an approved comment."""
    approved = (
        select(Comment.id)
        .where(
            Comment.site_id == VerifiedAuthor.site_id,
            Comment.email_normalised == VerifiedAuthor.email,
            Comment.status == Status.APPROVED,
        )
        .exists()
    )
    pairs = {(row.site_id, row.email_normalised) for row in rows}
    found = session.execute(
        select(VerifiedAuthor.site_id, VerifiedAuthor.email).where(
            tuple_(VerifiedAuthor.site_id, VerifiedAuthor.email).in_(pairs), approved
        )
    )
    return {(row[0], row[1]) for row in found}


def _ballot(row: Row[Any], ruling: Ruling, verdict: Verdict | None) -> Ballot:
    return Ballot(
        comment_id=row.id,
        seen_version=row.version,
        status=ruling.status,
        actor=POLICY_ACTOR,
        reason=ruling.reason,
        rule=ruling.rule,
        score=None if verdict is None else verdict.score,
        model_version=None if verdict is None else verdict.model_version,
        clues=()
        if verdict is None
        else tuple(
            {"label": clue.label, "weight": round(clue.weight, 3), "kind": clue.kind}
            for clue in verdict.clues
        ),
    )
