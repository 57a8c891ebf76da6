"""Signing in, and everything that sets a password.

The one rule: no password is hashed while a transaction is open; it takes 50 ms, and SQLite has
one writer.
"""

from datetime import datetime

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from service.base.errors import FieldError, Invalid, NotFound, Unauthenticated
from service.core import changes
from service.core.moderators import accounts, backoff, links, passwords, sessions
from service.core.moderators.accounts import Person, Role
from service.core.moderators.links import Link, Purpose
from service.core.moderators.tables import Membership, Moderator
from service.ledger.db import Database, utc_now

_WRONG = "The e-mail address or the password is not right."


def sign_in(
    database: Database,
    email: str,
    password: str,
    *,
    network: str,
    device: str | None = None,
    user_agent: str | None = None,
    now: datetime | None = None,
) -> str:
    """Open a session for whoever knows the password, and give its cookie's value.

    Args:
        database: the ledger.
        email: as typed.
        password: as typed.
        network: what stands for the client's address in counting.
        device: marks the browser, if this account was used in it before.
        user_agent: for the list of sessions.
        now: default the present.

    Raises:
        Unauthenticated: no such account, no password yet, removed, or wrong; all alike.
        RateLimited: too many failures before; says when to try again.
    """
    key = accounts.fold(email)
    counted = [
        backoff.device(key, device) if device else backoff.account(key),
        backoff.address(network),
    ]
    backoff.admit(database, counted, now=now)
    with database.reading() as session:
        row = session.scalar(select(Moderator).where(Moderator.email_key == key))
    kept = row.password if row is not None and row.disabled_at is None else None
    if not passwords.verify(kept, password) or row is None or kept is None:
        raise Unauthenticated(_WRONG)
    backoff.succeeded(database, counted)
    renewed = passwords.hashed(password) if passwords.is_outdated(kept) else kept
    with database.transaction() as session:
        # Unless it was changed while this one was verified.
        current = session.execute(
            update(Moderator)
            .where(Moderator.id == row.id, Moderator.password == kept)
            .values(password=renewed)
            .returning(Moderator.id)
        ).first()
        if current is None:
            raise Unauthenticated(_WRONG)
        return sessions.open_session(session, row.id, user_agent, now or utc_now())


def invite(
    session: Session,
    site_id: str,
    email: str,
    role: Role,
    *,
    actor: str,
    now: datetime | None = None,
) -> str:
    """Invite somebody to a site and give the link's token; they join when they accept.

    Raises:
        Invalid: the address is none, or somebody's who is a member already.
    """
    moderator_id = accounts.ensure(session, email)
    if session.get(Membership, (moderator_id, site_id)) is not None:
        raise Invalid([FieldError("/email", "This person is a member of this site already.")])
    setting = links.invitation_of(moderator_id)
    changes.note(session, site_id, setting, None, role.value, actor=actor)
    return links.issue(
        session, moderator_id, Purpose.INVITATION, site_id=site_id, role=role, now=now
    )


def first_link(session: Session, moderator_id: str) -> str | None:
    """Give a token for the first sign-in; `None` to an account that is in use."""
    if links.is_in_use(session, moderator_id):
        return None
    return links.issue(session, moderator_id, Purpose.FIRST)


def reset(session: Session, email: str, *, now: datetime | None = None) -> str:
    """Give a token with which a new password can be chosen; the old one works until then.

    Raises:
        NotFound: there is no such moderator.
    """
    found = accounts.find(session, email)
    if found.disabled_at is not None:
        raise NotFound(f"{found.email} was removed; `hamgate moderator create` brings them back")
    return links.issue(session, found.id, Purpose.RESET, now=now)


def accept(
    database: Database,
    token: str,
    *,
    password: str,
    name: str | None = None,
    email: str | None = None,
    user_agent: str | None = None,
    now: datetime | None = None,
) -> str:
    """Use a link to set a password, and give the cookie's value of a new session.

    All other sessions of the account end; after a reset no provider opens it either, since who
    asks for one may have lost the account. `email` counts only where the account has none yet.

    Raises:
        NotFound: the link does not work any more.
        Unauthenticated: an invitation of somebody whose account is in use; see `join`.
        Invalid: a bad name, address or password; every fault at once.
    """
    now = now or utc_now()
    with database.reading() as session:
        link = links.look(session, token, now=now)
    _check_may_set(link)
    fresh = _checked(link, password=password, name=name, email=email)
    kept = passwords.hashed(password)
    with database.transaction() as session:
        link = links.use(session, token, now)
        _check_may_set(link)  # somebody may use it meanwhile
        if "email_key" in fresh:
            _check_free(session, fresh["email_key"], link.moderator_id)
        _set_password(session, link.moderator_id, kept, fresh)
        if link.purpose is Purpose.RESET:
            actor = accounts.actor_of(link.moderator_id)
            accounts.drop_identities(session, link.moderator_id, actor=actor)
        if link.site_id is not None and link.role is not None:
            _put_member(session, link.site_id, link.moderator_id, link.role)
        return sessions.open_session(session, link.moderator_id, user_agent, now)


def join(
    database: Database,
    token: str,
    person: Person,
    *,
    user_agent: str | None = None,
    now: datetime | None = None,
) -> str:
    """Accept an invitation as who one is already; the session gets a new cookie value.

    Raises:
        NotFound: the link does not work any more.
        Unauthenticated: it is somebody else's.
    """
    now = now or utc_now()
    with database.transaction() as session:
        link = links.use(session, token, now)
        if link.moderator_id != person.id or link.site_id is None or link.role is None:
            raise Unauthenticated(f"this invitation is for {link.email}")
        _put_member(session, link.site_id, person.id, link.role)
        sessions.end_session(session, person.id, person.session_id)
        return sessions.open_session(session, person.id, user_agent, now)


def change_password(
    database: Database,
    person: Person,
    current: str,
    new: str,
    *,
    network: str,
    user_agent: str | None = None,
) -> str:
    """Set another password for who knows the present one, and give a new session's cookie value.

    All other sessions of the account end.

    Raises:
        Invalid: the present one is wrong, or the new one is easily guessed.
        RateLimited: the present one was wrong too often.
    """
    passwords.check(new, person.email, person.name)
    confirm(database, person, current, network=network)
    renewed = passwords.hashed(new)
    with database.transaction() as session:
        _set_password(session, person.id, renewed)
        return sessions.open_session(session, person.id, user_agent, utc_now())


def confirm(database: Database, person: Person, current: str, *, network: str) -> None:
    """See that it is the person, and not only their cookie, who wants to change how to sign in.

    Raises:
        Invalid: this is not their present password.
        RateLimited: it was wrong too often.
    """
    # By the session: who guesses here has its cookie already, and must not slow sign-in down.
    counted = [backoff.device(person.id, person.session_id), backoff.address(network)]
    backoff.admit(database, counted)
    with database.reading() as session:
        kept = session.get_one(Moderator, person.id).password
    if not passwords.verify(kept, current):
        raise Invalid([FieldError("/current", "This is not your present password.")])
    backoff.succeeded(database, counted)


def nobody_signed_in(session: Session) -> bool:
    """Whether no moderator has ever signed in."""
    count = select(func.count()).select_from(Moderator).where(Moderator.signed_in_at.is_not(None))
    return session.scalars(count).one() == 0


def _set_password(
    session: Session, moderator_id: str, kept: str, values: dict[str, str] | None = None
) -> None:
    """Set a password's hash; what the old one had opened ends."""
    session.execute(
        update(Moderator)
        .where(Moderator.id == moderator_id)
        .values(password=kept, **(values or {}))
    )
    links.forget(session, moderator_id)
    sessions.sign_out_everywhere(session, moderator_id)


def _put_member(session: Session, site_id: str, moderator_id: str, role: Role) -> None:
    """Make a member of who was invited; it is noted as their own doing."""
    actor = accounts.actor_of(moderator_id)
    accounts.put_member(session, site_id, moderator_id, role, actor=actor)


def _check_may_set(link: Link) -> None:
    if link.purpose is not Purpose.RESET and link.in_use:
        raise Unauthenticated(f"{link.email} has an account; sign in to accept")


def _checked(link: Link, *, password: str, name: str | None, email: str | None) -> dict[str, str]:
    """Check what was typed on a link's page and give the columns to set."""
    values: dict[str, str] = {}
    faults: list[FieldError] = []
    known = link.email
    try:
        if link.email == accounts.FIRST_OWNER and link.purpose is Purpose.FIRST:
            known = accounts.checked_email(email or "")
            if known == accounts.FIRST_OWNER:
                raise Invalid([FieldError("/email", "Write your own address.")])
            values |= {"email": known, "email_key": accounts.fold(known)}
    except Invalid as error:
        faults += error.errors
    try:
        if link.purpose is not Purpose.RESET:
            values["name"] = accounts.checked_name(name or "")
    except Invalid as error:
        faults += error.errors
    try:
        passwords.check(password, known, name or link.name)
    except Invalid as error:
        faults += error.errors
    if faults:
        raise Invalid(faults)
    return values


def _check_free(session: Session, key: str, moderator_id: str) -> None:
    owner = session.scalar(select(Moderator.id).where(Moderator.email_key == key))
    if owner not in (None, moderator_id):
        raise Invalid([FieldError("/email", "Somebody else has this address.")])
