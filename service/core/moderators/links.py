"""Links that work once: the first sign-in, an invitation, a new password.

The one rule: a link is used up by the statement that finds it, so two clicks are never two uses.
"""

import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from service.base.errors import NotFound
from service.core import changes
from service.core.moderators.accounts import Role, actor_of
from service.core.moderators.sessions import digest_of
from service.core.moderators.tables import Identity, Moderator, OneTimeLink
from service.ledger.db import utc_now
from service.ledger.models import Site


class Purpose(StrEnum):
    """What a link is for."""

    FIRST = "first"
    INVITATION = "invitation"
    RESET = "reset"


LASTS = {
    Purpose.FIRST: timedelta(days=7),
    Purpose.INVITATION: timedelta(days=7),
    Purpose.RESET: timedelta(days=1),
}
_GONE = "This link was used before, was replaced by a newer one, or is too old. Ask for a new one."


@dataclass(frozen=True, slots=True)
class Link:
    """A link that still works: what for, whose, and where it leads.

    Attributes:
        in_use: whether somebody signs in to the account; who then holds an invitation has to do
            so, so that inviting somebody never gives access to what else they may do.
        site_name: of an invitation; with its id and the role offered.
    """

    purpose: Purpose
    moderator_id: str
    email: str
    name: str
    in_use: bool
    site_id: str | None
    site_name: str | None
    role: Role | None


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation to a site that nobody has accepted yet."""

    moderator_id: str
    email: str
    role: Role
    expires_at: datetime


def link_url(origin: str, token: str) -> str:
    """Give the address to hand to somebody.

    The token is in the query, which the service never logs.
    """
    return f"{origin}/dashboard/link?token={token}"


def issue(
    session: Session,
    moderator_id: str,
    purpose: Purpose,
    *,
    site_id: str | None = None,
    role: Role | None = None,
    now: datetime | None = None,
) -> str:
    """Make a link's token and give it, for the only time; earlier ones like it end."""
    now = now or utc_now()
    session.execute(
        delete(OneTimeLink).where(
            (OneTimeLink.expires_at <= now)
            | (
                (OneTimeLink.moderator_id == moderator_id)
                & (OneTimeLink.purpose == purpose.value)
                & OneTimeLink.site_id.is_not_distinct_from(site_id)
            )
        )
    )
    token = secrets.token_urlsafe(32)
    session.add(
        OneTimeLink(
            digest=digest_of(token),
            purpose=purpose.value,
            moderator_id=moderator_id,
            site_id=site_id,
            role=None if role is None else role.value,
            created_at=now,
            expires_at=now + LASTS[purpose],
        )
    )
    session.flush()
    return token


def look(session: Session, token: str, *, now: datetime | None = None) -> Link:
    """Tell what a link is for, without using it.

    Raises:
        NotFound: it was used, replaced or withdrawn, or is too old.
    """
    found = session.execute(
        select(OneTimeLink, Moderator, Site.name)
        .join(Moderator, Moderator.id == OneTimeLink.moderator_id)
        .outerjoin(Site, Site.id == OneTimeLink.site_id)
        .where(
            OneTimeLink.digest == digest_of(token),
            OneTimeLink.expires_at > (now or utc_now()),
            Moderator.disabled_at.is_(None),
        )
    ).first()
    if found is None:
        raise NotFound(_GONE)
    row, moderator, site_name = found
    return Link(
        purpose=Purpose(row.purpose),
        moderator_id=moderator.id,
        email=moderator.email,
        name=moderator.name,
        in_use=is_in_use(session, moderator.id),
        site_id=row.site_id,
        site_name=site_name,
        role=None if row.role is None else Role(row.role),
    )


def use(session: Session, token: str, now: datetime) -> Link:
    """Use a link up.

    Raises:
        NotFound: somebody was faster, or it never was one.
    """
    link = look(session, token, now=now)
    # Locked before the link is: whoever else begins to use the account takes the same order.
    in_use = is_in_use(session, link.moderator_id, lock=True)
    used = session.execute(
        delete(OneTimeLink)
        .where(OneTimeLink.digest == digest_of(token))
        .returning(OneTimeLink.digest)
    ).first()
    if used is None:
        raise NotFound(_GONE)
    return replace(link, in_use=in_use)


def is_in_use(session: Session, moderator_id: str, *, lock: bool = False) -> bool:
    """Whether somebody signs in to an account, by password or by a provider.

    With `lock` nobody else begins to until the transaction ends.
    """
    password = select(Moderator.password).where(Moderator.id == moderator_id)
    linked = select(Identity.issuer).where(Identity.moderator_id == moderator_id).limit(1)
    kept = session.scalar(password.with_for_update() if lock else password)
    return (kept or session.scalar(linked)) is not None


def forget(session: Session, moderator_id: str) -> None:
    """End the links with which a moderator's password could be set."""
    purposes = (Purpose.FIRST.value, Purpose.RESET.value)
    session.execute(
        delete(OneTimeLink).where(
            OneTimeLink.moderator_id == moderator_id, OneTimeLink.purpose.in_(purposes)
        )
    )


def invitations(session: Session, site_id: str, *, now: datetime | None = None) -> list[Invitation]:
    """Give a site's open invitations, by address."""
    rows = session.execute(
        select(OneTimeLink, Moderator.email)
        .join(Moderator, Moderator.id == OneTimeLink.moderator_id)
        .where(
            OneTimeLink.site_id == site_id,
            OneTimeLink.purpose == Purpose.INVITATION.value,
            OneTimeLink.expires_at > (now or utc_now()),
        )
        .order_by(Moderator.email_key)
    )
    return [
        Invitation(row.moderator_id, email, Role(row.role or Role.VIEWER), row.expires_at)
        for row, email in rows
    ]


def invitation_of(moderator_id: str) -> str:
    """Give how an invitation is named among the changes of a site."""
    return f"invitation of {actor_of(moderator_id)}"


def withdraw(session: Session, site_id: str, moderator_id: str, *, actor: str) -> None:
    """Take an invitation back.

    Raises:
        NotFound: there is none.
    """
    gone = session.execute(
        delete(OneTimeLink)
        .where(OneTimeLink.site_id == site_id, OneTimeLink.moderator_id == moderator_id)
        .returning(OneTimeLink.role)
    ).first()
    if gone is None:
        raise NotFound("there is no such invitation")
    changes.note(session, site_id, invitation_of(moderator_id), gone.role, None, actor=actor)
