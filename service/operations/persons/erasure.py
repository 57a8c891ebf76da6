"""Erasure: a person asks to be forgotten, and is (GDPR, article 17).

What stays is the place of each comment in its thread, its status, and that it was decided. A ban
on the address stays too, as a digest of it: otherwise to be erased would be a way around it. What
a site's layer learnt from the person is forgotten with the versions that it taught.

The one rule: each step is a short transaction and can be done again, so an erasure that was
interrupted is finished by asking for it once more.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from service.base.errors import HamgateError
from service.core import campaigns, changes, confirmations, forgetting, moderation, moderators
from service.core.changes import OPERATOR
from service.core.moderation import Ballot
from service.core.moderators import backoff
from service.core.moderators.tables import Moderator, Presence, SignInAttempts
from service.core.webhooks import outbox
from service.judgement import versions
from service.ledger.db import Database, utc_now
from service.ledger.models import (
    AUTHOR_ACTOR,
    CAMPAIGNS,
    COMMENTS,
    CONFIRMATIONS,
    DECISIONS,
    EVENTS,
    FILTERS,
    OBJECTIONS,
    SHADOW_RULINGS,
    VERIFIED_AUTHORS,
    Preview,
    SettingChange,
    Site,
)
from service.operations.persons import scrubbing
from service.operations.persons.who import Address, Person
from service.pure import events
from service.pure.events import EventType
from service.pure.policy import Policy, Status, ban_digest

_AT_ONCE = 100
_REASON = "erased at its author's request"
_TOLD_MOST = 100

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, slots=True)
class Erased:
    """What was forgotten.

    Attributes:
        comments: how many.
        sites: on how many sites.
        unlearnt: sites that are taught anew without them.
        is_clean: whether nothing is left in the ledger's files; `False` where somebody was
            reading for so long that they could not be written anew.
    """

    comments: int
    sites: int
    unlearnt: int
    is_clean: bool


def erase(
    database: Database,
    person: Person,
    *,
    progress: Progress = lambda done, of, step: None,
) -> Erased:
    """Forget a person on all sites.

    Raises:
        Invalid: they are the last owner of a site; nothing was done.
    """
    now = utc_now()
    if person.moderator_id is not None:
        with database.transaction() as session:
            _forget_moderator(session, person.moderator_id, person.address)
    done, unlearnt = 0, 0
    total = len(person.comment_ids)
    for site_id, ids in person.comments.items():
        with database.transaction() as session:
            unlearnt += _unlearn(session, site_id, ids)
        for first in range(0, len(ids), _AT_ONCE):
            some = ids[first : first + _AT_ONCE]
            with database.transaction() as session:
                _forget_comments(session, some)
            done += len(some)
            progress(done, total, "forgetting comments")
        with database.transaction() as session:
            _tell(session, site_id, ids, now)
    progress(0, 0, "forgetting what quotes them")
    with database.transaction() as session:
        _forget_mentions(session, person.address)
    progress(0, 0, "writing the ledger anew")
    is_clean = scrubbing.scrub(database)
    return Erased(total, len(person.comments), unlearnt, is_clean)


def _forget_comments(session: Session, ids: Sequence[str]) -> None:
    connection = session.connection()
    joined = session.scalars(
        select(COMMENTS.c.campaign_id)
        .where(COMMENTS.c.id.in_(ids), COMMENTS.c.campaign_id.is_not(None))
        .distinct()
    ).all()
    # Also what is still to be told: a receiver is told of the deletion in its place.
    session.execute(delete(EVENTS).where(EVENTS.c.comment_id.in_(ids)))
    forgetting.blank(connection, ids)
    session.execute(
        update(COMMENTS)
        .where(COMMENTS.c.id.in_(ids))
        .values(idempotency_key=None, external_id=None, campaign_id=None, echoes=0)
    )
    session.execute(update(DECISIONS).where(DECISIONS.c.comment_id.in_(ids)).values(reason=""))
    session.execute(update(OBJECTIONS).where(OBJECTIONS.c.comment_id.in_(ids)).values(reason=""))
    session.execute(delete(CONFIRMATIONS).where(CONFIRMATIONS.c.comment_id.in_(ids)))
    session.execute(delete(SHADOW_RULINGS).where(SHADOW_RULINGS.c.comment_id.in_(ids)))
    member = select(COMMENTS.c.id).where(COMMENTS.c.campaign_id == CAMPAIGNS.c.id).exists()
    empty = select(CAMPAIGNS.c.id).where(CAMPAIGNS.c.id.in_(joined), ~member)
    campaigns.forget(session, session.scalars(empty).all())
    rows = session.execute(
        select(COMMENTS.c.id, COMMENTS.c.version).where(
            COMMENTS.c.id.in_(ids), COMMENTS.c.status != Status.DELETED
        )
    ).all()
    ballots = [Ballot(row.id, row.version, Status.DELETED, AUTHOR_ACTOR, _REASON) for row in rows]
    for outcome in moderation.record(session, ballots):
        if isinstance(outcome, HamgateError):
            raise outcome


def _unlearn(session: Session, site_id: str, ids: Sequence[str]) -> bool:
    """Forget the versions that these comments may have taught; tell whether there are any."""
    taught: list[datetime] = []
    for first in range(0, len(ids), _AT_ONCE):
        moment = session.scalar(
            select(func.min(DECISIONS.c.decided_at)).where(
                DECISIONS.c.comment_id.in_(ids[first : first + _AT_ONCE]),
                DECISIONS.c.actor.not_in((AUTHOR_ACTOR, "policy")),
                DECISIONS.c.status.in_((Status.APPROVED, Status.SPAM)),
            )
        )
        taught += [] if moment is None else [moment]
    return bool(taught) and versions.forget(
        session, site_id, min(taught), actor=OPERATOR, reason="what it was taught was erased"
    )


def _tell(session: Session, site_id: str, ids: Sequence[str], now: datetime) -> None:
    """Tell the site's receivers, which may keep copies; not whose they were, nobody knows now."""
    changes.note(session, site_id, "erased comments", None, len(ids), actor=OPERATOR)
    for first in range(0, len(ids), _TOLD_MOST):
        some = list(ids[first : first + _TOLD_MOST])
        outbox.tell(
            session.connection(),
            EventType.AUTHOR_ERASED,
            site_id,
            _erased(some),
            now,
        )


def _erased(comment_ids: list[str]) -> Callable[[events.Site], events.AuthorTold]:
    return lambda site: events.AuthorTold(site=site, comment_ids=comment_ids)


def _forget_mentions(session: Session, address: Address) -> None:
    """Forget the address where it stands beside comments: verifications, bans, notes, filters."""
    # Not that somebody wants no mail: it is a digest, and would else be forgotten with them.
    mailbox = confirmations.mailbox_of(address.normal)
    session.execute(delete(CONFIRMATIONS).where(CONFIRMATIONS.c.mailbox == mailbox))
    session.execute(delete(VERIFIED_AUTHORS).where(address.column(VERIFIED_AUTHORS.c.email)))
    session.execute(delete(Preview))  # they quote comments, and are asked anew with a click
    for site_id, policy in session.execute(select(Site.id, Site.policy)).all():
        if address.is_in(policy):
            written = Policy.model_validate(_digested(policy, address)).model_dump(mode="json")
            session.execute(update(Site).where(Site.id == site_id).values(policy=written))
    for change in session.scalars(select(SettingChange)).all():
        if address.is_in(change.before) or address.is_in(change.after):
            change.before = _digested(change.before, address)
            change.after = _digested(change.after, address)
    for row in session.execute(select(FILTERS)).all():
        if address.is_in(row.query) or address.is_in(row.name):
            session.execute(
                delete(FILTERS).where(
                    FILTERS.c.site_id == row.site_id, FILTERS.c.place == row.place
                )
            )


def _digested(value: Any, address: Address) -> Any:
    """Give a JSON value with the address's digest in place of every text that has it."""
    if isinstance(value, str):
        return ban_digest(address.normal) if address.is_in(value) else value
    if isinstance(value, list):
        return [_digested(part, address) for part in value]
    if isinstance(value, dict):
        return {name: _digested(part, address) for name, part in value.items()}
    return value


def _forget_moderator(session: Session, moderator_id: str, address: Address) -> None:
    """Close an account and forget whose it was; what was decided bears its id."""
    moderators.close(session, moderator_id)
    session.execute(delete(Presence).where(Presence.moderator_id == moderator_id))
    keys = [backoff.account(moderators.fold(one)).key for one in address.variants]
    session.execute(delete(SignInAttempts).where(SignInAttempts.subject.in_(keys)))
    nobody = f"{moderator_id}@erased.invalid"
    session.execute(
        update(Moderator)
        .where(Moderator.id == moderator_id)
        .values(email=nobody, email_key=nobody, name="erased", signed_in_at=None)
    )
