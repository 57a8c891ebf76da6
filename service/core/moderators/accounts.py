"""Accounts and what they may do on which site.

The one rule: a site that has an owner keeps one.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import email_validator
from email_validator import EmailNotValidError
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from service.base.errors import FieldError, Invalid, NotFound
from service.core import changes
from service.core.changes import OPERATOR
from service.core.moderators.tables import Identity, Membership, Moderator, OneTimeLink, SignedIn
from service.ledger.db import new_id, utc_now
from service.ledger.models import Site
from service.pure import text

EMAIL_MOST = 254
NAME_MOST = 100
# Whom `hamgate up` makes; not an address of anybody, so the first sign-in asks for one.
FIRST_OWNER = "owner@localhost"
_ACTOR = "moderator:"


class Role(StrEnum):
    """What a moderator may do on a site; each may do what those before it may."""

    VIEWER = "viewer"
    MODERATOR = "moderator"
    OWNER = "owner"

    def covers(self, other: "Role") -> bool:
        """Whether this role may do what `other` may."""
        ranks = list(Role)
        return ranks.index(self) >= ranks.index(other)


@dataclass(frozen=True, slots=True)
class Person:
    """Who is signed in: read anew for each request, so a changed role counts at once.

    Attributes:
        roles: by site id; a site that is not here is not there for this person.
        session_id: of the session that asks.
    """

    id: str
    name: str
    email: str
    roles: Mapping[str, Role]
    session_id: str

    @property
    def actor(self) -> str:
        """How this person is named in decisions."""
        return actor_of(self.id)

    def may(self, site_id: str, role: Role) -> bool:
        """Whether this person may do on a site what `role` may."""
        held = self.roles.get(site_id)
        return held is not None and held.covers(role)


@dataclass(frozen=True, slots=True)
class Account:
    """A moderator as operators see one; `roles` by the site's slug."""

    id: str
    email: str
    name: str
    has_password: bool
    signed_in_at: datetime | None
    disabled_at: datetime | None
    roles: Mapping[str, Role] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Member:
    """A moderator as a site's owners see one."""

    id: str
    email: str
    name: str
    role: Role
    signed_in_at: datetime | None


def fold(email: str) -> str:
    """Give what two ways to write one address have in common."""
    return unicodedata.normalize("NFC", email.strip()).casefold()[:EMAIL_MOST]


def actor_of(moderator_id: str) -> str:
    """Give how a moderator is named in decisions and changes."""
    return f"{_ACTOR}{moderator_id}"


def names(session: Session, actors: Iterable[str]) -> dict[str, str]:
    """Give the names of those actors who are people, removed ones included."""
    ids = {actor.removeprefix(_ACTOR) for actor in actors if actor.startswith(_ACTOR)}
    rows = session.execute(select(Moderator.id, Moderator.name).where(Moderator.id.in_(ids)))
    return {actor_of(row.id): row.name for row in rows}


def create(
    session: Session, email: str, *, name: str = "", site_id: str | None = None, role: Role
) -> str:
    """Make a moderator, or give one that is there a role, and give the id.

    Args:
        session: a transaction's session.
        email: to sign in with.
        name: for people; default what stands before the @.
        site_id: where the role is; `None` for nowhere yet.
        role: replaces the one held there; the last owner's stays.

    Raises:
        Invalid: the address is none, or it is the last owner's.
    """
    moderator_id = ensure(session, email, name=name)
    if site_id is not None:
        put_member(session, site_id, moderator_id, role, actor=OPERATOR)
    return moderator_id


def ensure(session: Session, email: str, *, name: str = "") -> str:
    """Give the id of the moderator with this address, made if there is none.

    Raises:
        Invalid: the address is none.
    """
    address = checked_email(email)
    row = _row(session, address)
    if row is None:
        row = Moderator(
            id=new_id("mod"),
            email=address,
            email_key=fold(address),
            name=name or address.partition("@")[0],
            created_at=utc_now(),
        )
        session.add(row)
    row.disabled_at = None
    session.flush()
    return row.id


def find(session: Session, email: str) -> Account:
    """Give the moderator with this address.

    Raises:
        NotFound: there is none.
    """
    row = _row(session, email)
    if row is None:
        raise NotFound(f"there is no moderator “{email}”")
    return _account(session, row)


def listing(session: Session) -> list[Account]:
    """Give all moderators, by address."""
    rows = session.scalars(select(Moderator).order_by(Moderator.email_key))
    return [_account(session, row) for row in rows.all()]


def members(session: Session, site_id: str) -> list[Member]:
    """Give who may do something on a site, by name."""
    rows = session.execute(
        select(Moderator, Membership.role)
        .join(Membership, Membership.moderator_id == Moderator.id)
        .where(Membership.site_id == site_id)
    ).all()
    found = [Member(m.id, m.email, m.name, Role(role), m.signed_in_at) for m, role in rows]
    return sorted(found, key=lambda member: (member.name.casefold(), member.email))


def rename(session: Session, moderator_id: str, name: str) -> None:
    """Give a moderator another name.

    Raises:
        Invalid: it is empty, too long or not on one line.
    """
    checked = checked_name(name)
    session.execute(update(Moderator).where(Moderator.id == moderator_id).values(name=checked))


def set_role(session: Session, site_id: str, moderator_id: str, role: Role, *, actor: str) -> None:
    """Change what a member may do; it is noted who did it.

    Raises:
        NotFound: no member of this site.
        Invalid: it is the last owner.
    """
    _check_not_last_owner(session, site_id, moderator_id, becoming=role)
    held = session.get(Membership, (moderator_id, site_id), with_for_update=True)
    if held is None:
        raise NotFound("there is no such member of this site")
    _note_role(session, site_id, moderator_id, held.role, role.value, actor)
    held.role = role.value
    session.flush()


def remove(session: Session, site_id: str, moderator_id: str, *, actor: str) -> None:
    """Take a member off a site; their account and other sites stay.

    Raises:
        NotFound: no member of this site.
        Invalid: it is the last owner.
    """
    _check_not_last_owner(session, site_id, moderator_id, becoming=None)
    gone = session.execute(
        delete(Membership)
        .where(Membership.site_id == site_id, Membership.moderator_id == moderator_id)
        .returning(Membership.role)
    ).first()
    if gone is None:
        raise NotFound("there is no such member of this site")
    _note_role(session, site_id, moderator_id, gone.role, None, actor)


def close(session: Session, moderator_id: str) -> None:
    """End an account: no site, session, link, password or provider. Decisions still name it.

    Raises:
        Invalid: it is the last owner of a site.
    """
    # Locked first: whoever signs in or links at this moment comes before all of it, or after.
    session.get_one(Moderator, moderator_id, with_for_update=True)
    drop_identities(session, moderator_id, actor=OPERATOR)
    for site_id in roles_of(session, moderator_id):
        remove(session, site_id, moderator_id, actor=OPERATOR)
    for table in (SignedIn, OneTimeLink):
        session.execute(delete(table).where(table.moderator_id == moderator_id))
    session.execute(
        update(Moderator)
        .where(Moderator.id == moderator_id)
        .values(password=None, disabled_at=utc_now())
    )


def drop_identities(session: Session, moderator_id: str, *, actor: str) -> None:
    """Let no provider open an account any more."""
    gone = session.scalars(
        delete(Identity).where(Identity.moderator_id == moderator_id).returning(Identity.issuer)
    ).all()
    for issuer in gone:
        note_provider(session, moderator_id, issuer, None, actor=actor)


def note_provider(
    session: Session, moderator_id: str, before: str | None, after: str | None, *, actor: str
) -> None:
    """Note on all sites of a moderator which provider opens their account."""
    setting = f"provider of {actor_of(moderator_id)}"
    for site_id in roles_of(session, moderator_id):
        changes.note(session, site_id, setting, before, after, actor=actor)


def put_member(
    session: Session, site_id: str, moderator_id: str, role: Role, *, actor: str
) -> None:
    """Give a moderator a role on a site, whatever it was.

    Raises:
        Invalid: it is the last owner.
    """
    held = session.get(Membership, (moderator_id, site_id))
    if held is not None:
        set_role(session, site_id, moderator_id, role, actor=actor)
        return
    session.add(
        Membership(
            moderator_id=moderator_id, site_id=site_id, role=role.value, created_at=utc_now()
        )
    )
    _note_role(session, site_id, moderator_id, None, role.value, actor)
    session.flush()


def roles_of(session: Session, moderator_id: str) -> dict[str, Role]:
    """Give a moderator's roles by site id."""
    rows = session.execute(
        select(Membership.site_id, Membership.role).where(Membership.moderator_id == moderator_id)
    )
    return {site_id: Role(role) for site_id, role in rows}


def checked_email(email: str) -> str:
    """Give an address in its usual form.

    Raises:
        Invalid: it is none.
    """
    email = email.strip()
    if email == FIRST_OWNER:
        return email
    try:
        if len(email) > EMAIL_MOST:  # first: the cost of taking it apart grows with the length
            raise EmailNotValidError(f"It must have at most {EMAIL_MOST} characters.")
        return email_validator.validate_email(
            email, check_deliverability=False, strict=True
        ).normalized
    except EmailNotValidError as error:
        raise Invalid([FieldError("/email", str(error))]) from None


def checked_name(name: str) -> str:
    """Give a name without spaces around it.

    Raises:
        Invalid: it is empty, too long or not on one line.
    """
    name = name.strip()
    if len(name) > NAME_MOST or text.has_control(name) or not text.has_visible(name):
        raise Invalid([FieldError("/name", f"Write 1 to {NAME_MOST} characters on one line.")])
    return name


def _check_not_last_owner(
    session: Session, site_id: str, moderator_id: str, *, becoming: Role | None
) -> None:
    if becoming is Role.OWNER:
        return
    # Locked, so that two owners who demote each other at once do not both succeed.
    owners = session.scalars(
        select(Membership.moderator_id)
        .where(Membership.site_id == site_id, Membership.role == Role.OWNER.value)
        .order_by(Membership.moderator_id)
        .with_for_update()
    ).all()
    if list(owners) == [moderator_id]:
        message = "This is the only owner; make somebody else one first."
        raise Invalid([FieldError("/role", message)])


def _note_role(
    session: Session, site_id: str, moderator_id: str, before: Any, after: Any, actor: str
) -> None:
    setting = f"role of {actor_of(moderator_id)}"
    changes.note(session, site_id, setting, before, after, actor=actor)


def _row(session: Session, email: str) -> Moderator | None:
    return session.scalar(select(Moderator).where(Moderator.email_key == fold(email)))


def _account(session: Session, row: Moderator) -> Account:
    roles = session.execute(
        select(Site.slug, Membership.role)
        .join(Membership, Membership.site_id == Site.id)
        .where(Membership.moderator_id == row.id)
        .order_by(Site.slug)
    )
    return Account(
        id=row.id,
        email=row.email,
        name=row.name,
        has_password=row.password is not None,
        signed_in_at=row.signed_in_at,
        disabled_at=row.disabled_at,
        roles={slug: Role(role) for slug, role in roles},
    )
