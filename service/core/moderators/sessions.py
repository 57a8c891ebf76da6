"""Sessions: who a cookie stands for.

The one rule: a session's value is made at sign-in, never taken over from a browser, and only its
hash is kept.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select, update
from sqlalchemy.orm import Session

from service.core.moderators.accounts import Person, Role
from service.core.moderators.tables import Membership, Moderator, SignedIn
from service.ledger.db import Database, new_id, utc_now
from service.pure import text

IDLE = timedelta(days=14)
LONGEST = timedelta(days=90)
# That somebody was here is written at most so often: reading a page should not cost a commit.
_NOTED_EVERY = timedelta(minutes=1)
_USER_AGENT_MOST = 300


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session as its owner sees it in a list."""

    id: str
    user_agent: str
    created_at: datetime
    seen_at: datetime


def digest_of(value: str) -> str:
    """Give what is kept of a random value."""
    # 256 random bits: a plain hash is as good as a slow one.
    return hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()


def open_session(session: Session, moderator_id: str, user_agent: str | None, now: datetime) -> str:
    """Make a session and give its cookie's value, for the only time."""
    _forget_ended(session, now)
    value = secrets.token_urlsafe(32)
    session.add(
        SignedIn(
            id=new_id("ses"),
            digest=digest_of(value),
            moderator_id=moderator_id,
            user_agent=text.one_line(user_agent, _USER_AGENT_MOST),
            created_at=now,
            seen_at=now,
        )
    )
    session.execute(update(Moderator).where(Moderator.id == moderator_id).values(signed_in_at=now))
    session.flush()
    return value


def session_of(database: Database, cookie: str, *, now: datetime | None = None) -> Person | None:
    """Tell whose session this cookie is, and note that they were here; `None` if nobody's."""
    now = now or utc_now()
    with database.reading() as session:
        rows = session.execute(
            select(
                SignedIn.id.label("session_id"),
                SignedIn.seen_at,
                *(Moderator.id, Moderator.name, Moderator.email),
                *(Membership.site_id, Membership.role),
            )
            .join(Moderator, Moderator.id == SignedIn.moderator_id)
            .outerjoin(Membership, Membership.moderator_id == Moderator.id)
            .where(
                SignedIn.digest == digest_of(cookie),
                SignedIn.seen_at > now - IDLE,
                SignedIn.created_at > now - LONGEST,
                Moderator.disabled_at.is_(None),
            )
        ).all()
    if not rows:
        return None
    row = rows[0]
    if row.seen_at < now - _NOTED_EVERY:
        with database.transaction() as session:
            session.execute(
                update(SignedIn).where(SignedIn.id == row.session_id).values(seen_at=now)
            )
    roles = {one.site_id: Role(one.role) for one in rows if one.site_id is not None}
    return Person(row.id, row.name, row.email, roles, row.session_id)


def sessions_of(
    session: Session, moderator_id: str, *, now: datetime | None = None
) -> list[SessionView]:
    """Give a moderator's live sessions, the one seen last first."""
    now = now or utc_now()
    rows = session.scalars(
        select(SignedIn)
        .where(
            SignedIn.moderator_id == moderator_id,
            SignedIn.seen_at > now - IDLE,
            SignedIn.created_at > now - LONGEST,
        )
        .order_by(SignedIn.seen_at.desc(), SignedIn.id.desc())
    )
    return [SessionView(r.id, r.user_agent or "unknown", r.created_at, r.seen_at) for r in rows]


def sign_out(session: Session, cookie: str) -> None:
    """End the session of this cookie, if there is one."""
    session.execute(delete(SignedIn).where(SignedIn.digest == digest_of(cookie)))


def end_session(session: Session, moderator_id: str, session_id: str) -> bool:
    """End one of a moderator's sessions; tell whether there was such a one."""
    gone = session.execute(
        delete(SignedIn)
        .where(SignedIn.id == session_id, SignedIn.moderator_id == moderator_id)
        .returning(SignedIn.id)
    )
    return gone.first() is not None


def sign_out_everywhere(session: Session, moderator_id: str) -> None:
    """End all sessions of a moderator."""
    session.execute(delete(SignedIn).where(SignedIn.moderator_id == moderator_id))


def _forget_ended(session: Session, now: datetime) -> None:
    session.execute(
        delete(SignedIn).where(
            or_(SignedIn.seen_at <= now - IDLE, SignedIn.created_at <= now - LONGEST)
        )
    )
