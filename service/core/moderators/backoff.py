"""Back-off: the more often sign-in fails, the longer until the next try is looked at.

The one rule: a delay grows and ends; nobody is ever locked out. A try that comes too early is not
looked at and does not make the delay longer. A browser in which somebody has signed in before has
a counter of its own for that account, so that strangers who try cannot keep its owner out.

Counted in the ledger, not in Redis: it has to hold for all web processes, after a restart and
without Redis, and sign-ins are so rare that the writes cost nothing.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from service.base.errors import RateLimited
from service.core.moderators.tables import SignInAttempts
from service.ledger.db import Database, db_now, insert_into

_FORGOTTEN_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose failures are counted together.

    Attributes:
        free: failures without any delay; the next waits a second, each further one twice as long.
        most_seconds: no delay is longer.
        shared: whether many people stand behind it, so that one's success clears nobody else.
    """

    kind: str
    name: str
    free: int
    most_seconds: int
    shared: bool = False

    @property
    def key(self) -> str:
        """How it is kept: of one length, whatever was typed."""
        return hashlib.sha256(f"{self.kind}:{self.name}".encode("utf-8", "replace")).hexdigest()

    def delay(self, failures: int) -> timedelta:
        """Give how long the next try has to wait."""
        if failures < self.free:
            return timedelta(0)
        return timedelta(seconds=min(2 ** min(failures - self.free, 30), self.most_seconds))


def account(key: str) -> Subject:
    """Give the counter of an account, known or not, for browsers it was never used in."""
    return Subject("account", key, free=5, most_seconds=300)


def device(key: str, mark: str) -> Subject:
    """Give the counter of an account in one browser where it was used before."""
    return Subject("device", f"{mark}:{key}", free=5, most_seconds=60)


def address(network: str) -> Subject:
    """Give the counter of a client address, whatever accounts are tried from there."""
    return Subject("address", network, free=30, most_seconds=60, shared=True)


def admit(database: Database, subjects: Sequence[Subject], *, now: datetime | None = None) -> None:
    """Count a try as failed before it is looked at, so that a hundred at once are a hundred.

    Raises:
        RateLimited: it came too early for one of the subjects; nothing was counted.
    """
    with database.transaction() as session:
        long_ago = now - _FORGOTTEN_AFTER if now else db_now(-_FORGOTTEN_AFTER.total_seconds())
        session.execute(delete(SignInAttempts).where(SignInAttempts.last_at < long_ago))
        rows = _locked(session, subjects, now)
        # Only now: who waited for a lock would else be earlier than who had it.
        now = now or session.scalars(select(db_now())).one()
        wait = max((row.open_at - now).total_seconds() for row in rows.values())
        if wait > 0:
            raise RateLimited("too many tries", retry_after_seconds=math.ceil(wait))
        for subject, row in rows.items():
            failures = row.failures + 1
            _set(session, subject, failures, open_at=now + subject.delay(failures), now=now)


def succeeded(database: Database, subjects: Sequence[Subject]) -> None:
    """Take back the count of a try that was none of a stranger."""
    with database.transaction() as session:
        rows = _locked(session, subjects, None)
        now = session.scalars(select(db_now())).one()
        for subject, row in rows.items():
            # Set, not deleted: a try at the same moment may be waiting for the row.
            failures = max(0, row.failures - 1) if subject.shared else 0
            _set(session, subject, failures, open_at=now, now=now)


def _locked(
    session: Session, subjects: Sequence[Subject], now: datetime | None
) -> dict[Subject, SignInAttempts]:
    """Give the rows of the subjects, made where there are none, to this transaction alone."""
    moment = now or db_now()
    rows = {}
    # In one order everywhere, or two tries could wait for each other.
    for subject in sorted(subjects, key=lambda subject: subject.key):
        session.execute(
            insert_into(session.connection(), SignInAttempts)
            .values(subject=subject.key, failures=0, open_at=moment, last_at=moment)
            .on_conflict_do_nothing()
        )
        rows[subject] = session.scalars(
            select(SignInAttempts).where(SignInAttempts.subject == subject.key).with_for_update()
        ).one()
    return rows


def _set(
    session: Session, subject: Subject, failures: int, *, open_at: datetime, now: datetime
) -> None:
    session.execute(
        update(SignInAttempts)
        .where(SignInAttempts.subject == subject.key)
        .values(failures=failures, open_at=open_at, last_at=now)
    )
