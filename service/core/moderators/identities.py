"""Whom an OpenID provider means, and whose account that opens.

The one rule: a provider's word for an address opens only an account that nobody uses yet. Who
has a password signs in with it first and links, and nobody gets an account by signing in.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from service.base.errors import FieldError, Invalid, Unauthenticated
from service.core.moderators import accounts, links, sessions
from service.core.moderators.accounts import FIRST_OWNER, Person, actor_of, fold
from service.core.moderators.tables import Identity, Moderator, UsedState
from service.ledger.db import Database, insert_into, utc_now

# One answer to all, so that it tells nobody who has an account.
_NOBODY = (
    "Nobody here is linked to you. If you have a password, sign in with it and link on the page"
    " of your account; else ask an owner to invite your address."
)


@dataclass(frozen=True, slots=True)
class Way:
    """One way to the provider and back: three secrets that belong together.

    Attributes:
        state: comes back with the browser, so that nobody else's answer is taken for this one.
        nonce: comes back in the ID token, so that no other token is.
        verifier: shows the provider that who redeems the code began the way (RFC 7636).
    """

    state: str
    nonce: str
    verifier: str

    @classmethod
    def begin(cls) -> "Way":
        """Make one that nobody can guess."""
        return cls(*(secrets.token_urlsafe(32) for _ in range(3)))


@dataclass(frozen=True, slots=True)
class Claimed:
    """Who somebody is, as a provider says; `email` only if it says that it verified it."""

    issuer: str
    subject: str
    email: str | None


def use_up(session: Session, way: Way, expires_at: datetime, *, now: datetime) -> None:
    """Note that a way was gone, until it would not be good any more anyway.

    Raises:
        Unauthenticated: it was gone before.
    """
    session.execute(delete(UsedState).where(UsedState.expires_at <= now))
    row = {"digest": sessions.digest_of(way.state), "expires_at": expires_at}
    fresh = session.execute(
        insert_into(session.connection(), UsedState)
        .values(row)
        .on_conflict_do_nothing()
        .returning(UsedState.digest)
    ).first()
    if fresh is None:
        raise Unauthenticated("This sign-in was used before. Start again.")


def sign_in_as(
    database: Database,
    claimed: Claimed,
    *,
    user_agent: str | None = None,
    now: datetime | None = None,
) -> tuple[str, str]:
    """Open a session for whom the provider means; give its cookie's value and their address.

    Raises:
        Unauthenticated: nobody is linked to them, and no account can be.
    """
    now = now or utc_now()
    with database.transaction() as session:
        found = _linked_to(session, claimed) or _newcomer(session, claimed, now)
        if found is None:
            raise Unauthenticated(_NOBODY)
        return sessions.open_session(session, found.id, user_agent, now), found.email


def link(
    database: Database,
    person: Person,
    claimed: Claimed,
    *,
    user_agent: str | None = None,
    now: datetime | None = None,
) -> str:
    """Let the provider open the account of who is signed in; the session gets a new cookie value.

    Raises:
        Invalid: they are linked to another account, or the account to another of the provider's.
        Unauthenticated: the session ended meanwhile.
    """
    now = now or utc_now()
    with database.transaction() as session:
        session.get_one(Moderator, person.id, with_for_update=True)
        if not sessions.end_session(session, person.id, person.session_id):
            raise Unauthenticated("You were signed out meanwhile. Sign in and start again.")
        _put(session, person.id, claimed, now)
        return sessions.open_session(session, person.id, user_agent, now)


def unlink(
    database: Database,
    person: Person,
    *,
    user_agent: str | None = None,
    now: datetime | None = None,
) -> str:
    """Let no provider open the account any more, and give a new session's cookie value.

    All other sessions of the account end, since a provider may have opened them.

    Raises:
        Invalid: there is no password, so that nothing would open the account.
    """
    with database.transaction() as session:
        row = session.get_one(Moderator, person.id, with_for_update=True)
        if row.password is None:
            raise Invalid([FieldError("", "Without a password you could not sign in any more.")])
        accounts.drop_identities(session, person.id, actor=person.actor)
        sessions.sign_out_everywhere(session, person.id)
        return sessions.open_session(session, person.id, user_agent, now or utc_now())


def linked_at(session: Session, moderator_id: str, issuer: str) -> datetime | None:
    """Tell since when a provider opens an account; `None` if it does not."""
    return session.scalar(
        select(Identity.created_at).where(
            Identity.moderator_id == moderator_id, Identity.issuer == issuer
        )
    )


def _linked_to(session: Session, claimed: Claimed) -> Moderator | None:
    return session.scalar(
        select(Moderator)
        .join(Identity, Identity.moderator_id == Moderator.id)
        .where(
            Identity.issuer == claimed.issuer,
            Identity.subject == claimed.subject,
            Moderator.disabled_at.is_(None),
        )
        .with_for_update()  # else it might be unlinked or removed while the session is opened
    )


def _newcomer(session: Session, claimed: Claimed, now: datetime) -> Moderator | None:
    """Link the account that was made for a verified address, if nobody uses it yet."""
    if claimed.email is None:
        return None
    row = session.scalar(
        select(Moderator)
        .where(Moderator.email_key == fold(claimed.email), Moderator.disabled_at.is_(None))
        .with_for_update()
    )
    if row is None or row.email == FIRST_OWNER or not _same(row.email, claimed.email):
        return None
    if links.is_in_use(session, row.id):
        return None
    _put(session, row.id, claimed, now)
    links.forget(session, row.id)  # who holds one must not set a password now
    return row


def _same(ours: str, theirs: str) -> bool:
    """Whether two addresses with one folded form are one.

    Folding makes one of ß and ss, and of K and the Kelvin sign, which are different mailboxes.
    """
    return ours == theirs or (ours.isascii() and theirs.isascii())


def _put(session: Session, moderator_id: str, claimed: Claimed, now: datetime) -> None:
    row = {
        "issuer": claimed.issuer,
        "subject": claimed.subject,
        "moderator_id": moderator_id,
        "created_at": now,
    }
    made = session.execute(
        insert_into(session.connection(), Identity)
        .values(row)
        .on_conflict_do_nothing()
        .returning(Identity.moderator_id)
    ).first()
    if made is None:
        raise Invalid([FieldError("", "This account or another is linked already.")])
    actor = actor_of(moderator_id)
    accounts.note_provider(session, moderator_id, None, claimed.issuer, actor=actor)
