"""Model versions: what each site's moderators have taught, and which of it scores now.

The one rule: nothing here is ever overwritten, but for what a person's erasure takes along
(`forget`). A version is kept with its report for as long as the site lives, and every change of
the one that scores is recorded with who made it and why.
Version 0 is the shipped model alone.
"""

import itertools
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from service.base.errors import HamgateError, NotFound
from service.core.webhooks import outbox
from service.ledger.db import new_id, utc_now
from service.ledger.models import ModelChange, ModelVersion, ShadowRuling, Site
from service.pure.events import EventType, ModelTold

if TYPE_CHECKING:  # the web processes list versions and never score
    from service.pure.scoring import Tuning

SHIPPED = 0
# In place of the weights of a version that was to be forgotten.
_FORGOTTEN = b""
TRAINING = "training"


class Overtaken(HamgateError):
    """Another change of the site's model came first; nothing was done."""


class WrongBase(HamgateError):
    """A version that belongs to another shipped model cannot score."""


@dataclass(frozen=True, slots=True)
class VersionView:
    """A version as a value, without its weights."""

    number: int
    base: str
    report: dict[str, Any]
    taught_until: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """Which versions a site uses.

    Attributes:
        model: the one that scores.
        shadow: the one that scores beside it and decides nothing, if any.
        promotes: whether training may change `model` by itself.
    """

    model: int
    shadow: int | None
    promotes: bool


def standing(session: Session, site_id: str) -> Standing:
    """Say which versions a site uses.

    Raises:
        NotFound: there is no such site.
    """
    row = session.execute(
        select(Site.model, Site.shadow, Site.promotes).where(Site.id == site_id)
    ).first()
    if row is None:
        raise NotFound("there is no such site")
    return Standing(row[0], row[1], row[2])


def listing(session: Session, site_id: str) -> list[VersionView]:
    """Give a site's versions, oldest first; the shipped model alone is not among them."""
    rows = session.execute(
        _VIEW.where(ModelVersion.site_id == site_id).order_by(ModelVersion.number)
    )
    return [VersionView(*row) for row in rows]


def get(session: Session, site_id: str, number: int) -> VersionView:
    """Give one version.

    Raises:
        NotFound: the site has no such version.
    """
    row = session.execute(
        _VIEW.where(ModelVersion.site_id == site_id, ModelVersion.number == number)
    ).first()
    if row is None:
        raise NotFound(f"there is no version {number}; `hamgate model list` shows those there are")
    return VersionView(*row)


def check_usable(session: Session, site_id: str, number: int, base: str | None) -> None:
    """See that a version can score on top of the shipped model in use.

    Args:
        session: for reading.
        site_id: whose.
        number: the version; 0 always can.
        base: version of the shipped model.

    Raises:
        NotFound: the site has no such version.
        WrongBase: it was taught on top of another shipped model.
    """
    if number != SHIPPED and (taught_on := get(session, site_id, number).base) != base:
        raise WrongBase(
            f"version {number} was taught on top of the shipped model {taught_on}, and {base} is"
            " in use; `hamgate model train` makes one for it from the same labels"
        )


def changes(session: Session, site_id: str) -> list[ModelChange]:
    """Give the changes of a site's model, oldest first."""
    return list(
        session.scalars(
            select(ModelChange).where(ModelChange.site_id == site_id).order_by(ModelChange.id)
        )
    )


def add(
    session: Session, site_id: str, tuning: "Tuning", report: dict[str, Any], until: datetime
) -> int:
    """Keep a version and give its number, 1 for a site's first.

    Args:
        session: a transaction's.
        site_id: whose.
        tuning: what was learnt.
        report: how it was judged, as JSON.
        until: time of the newest label it has seen.
    """
    session.execute(select(Site.id).where(Site.id == site_id).with_for_update())
    newest = session.scalar(
        select(func.max(ModelVersion.number)).where(ModelVersion.site_id == site_id)
    )
    number = (newest or SHIPPED) + 1
    session.add(
        ModelVersion(
            site_id=site_id,
            number=number,
            base=tuning.model_version,
            tuning=tuning.to_bytes(),
            report=report,
            taught_until=until,
            created_at=utc_now(),
        )
    )
    session.flush()
    return number


def promote(
    session: Session,
    site_id: str,
    number: int,
    *,
    actor: str,
    reason: str,
    instead_of: int | None = None,
) -> None:
    """Have a version score the site's comments from now on.

    By a person it also lets training go on by itself, which a rollback has stopped.

    Args:
        session: a transaction's.
        site_id: whose.
        number: the version; 0 for the shipped model alone.
        actor: `training` or who asked for it.
        reason: why, for people.
        instead_of: the version it was compared with.

    Raises:
        NotFound: the site has no such version.
        Overtaken: another than `instead_of` scores by now, or a person has stopped promotions.
    """
    if number != SHIPPED:
        get(session, site_id, number)
    _change(session, site_id, number, actor, reason, instead_of=instead_of)


def roll_back(session: Session, site_id: str, *, actor: str) -> tuple[int, int]:
    """Go back to the version before the present one, and stop promotions by training.

    A machine would else bring back what a person has just put away.

    Returns:
        The number it was and the number it is.

    Raises:
        NotFound: no version came before.
    """
    stack = [SHIPPED]
    for change in changes(session, site_id):
        if change.is_rollback:
            stack.pop()
        else:
            stack.append(change.number)
    kept = {SHIPPED, *(one.number for one in listing(session, site_id))}
    stack = [number for number, _ in itertools.groupby(one for one in stack if one in kept)]
    if len(stack) == 1:
        raise NotFound("there is nothing to go back to: the shipped model alone scores")
    now, before = stack.pop(), stack[-1]
    _change(session, site_id, before, actor, f"back from {now}", is_rollback=True)
    session.execute(update(Site).where(Site.id == site_id).values(promotes=False))
    return now, before


def forget(session: Session, site_id: str, since: datetime, *, actor: str, reason: str) -> bool:
    """Forget what versions were taught that have seen a label of this time or a later one.

    Their reports stay, and that they scored; their weights go, and nothing can score with them
    again. The shipped model alone takes the place of the present one, until training, which
    finds no version that has seen any label, has made another from those that are left.

    Returns:
        Whether there were any.
    """
    gone = session.scalars(
        update(ModelVersion)
        .where(
            ModelVersion.site_id == site_id,
            ModelVersion.taught_until >= since,
            ModelVersion.tuning != _FORGOTTEN,
        )
        .values(tuning=_FORGOTTEN)
        .returning(ModelVersion.number)
    ).all()
    if not gone:
        return False
    now = standing(session, site_id)
    if now.model in gone:
        _change(session, site_id, SHIPPED, actor, reason, promotes=now.promotes)
    if now.shadow in gone:
        set_shadow(session, site_id, None)
    session.execute(update(Site).where(Site.id == site_id).values(learnt_at=None))
    return True


def set_shadow(session: Session, site_id: str, number: int | None) -> None:
    """Have a version score beside the present one without deciding anything; `None` for none.

    What an earlier shadow said is forgotten.

    Raises:
        NotFound: the site has no such version.
    """
    if number is not None and number != SHIPPED:
        get(session, site_id, number)
    session.execute(delete(ShadowRuling).where(ShadowRuling.site_id == site_id))
    session.execute(update(Site).where(Site.id == site_id).values(shadow=number))


_VIEW = select(
    ModelVersion.number,
    ModelVersion.base,
    ModelVersion.report,
    ModelVersion.taught_until,
    ModelVersion.created_at,
).where(ModelVersion.tuning != _FORGOTTEN)


def _change(
    session: Session,
    site_id: str,
    number: int,
    actor: str,
    reason: str,
    *,
    instead_of: int | None = None,
    is_rollback: bool = False,
    promotes: bool = True,
) -> None:
    site = session.scalar(select(Site).where(Site.id == site_id).with_for_update())
    if site is None:
        raise NotFound("there is no such site")
    if instead_of is not None and site.model != instead_of:
        raise Overtaken(f"version {site.model} scores by now, not {instead_of}")
    if actor == TRAINING and not site.promotes:
        raise Overtaken("a person has stopped promotions by training")
    change = ModelChange(
        id=new_id("mch"),
        site_id=site_id,
        old_number=site.model,
        number=number,
        actor=actor,
        reason=reason,
        is_rollback=is_rollback,
        changed_at=utc_now(),
    )
    session.add(change)
    _tell(session, change)
    site.model = number
    site.thresholds = None  # they were chosen for the other one
    if actor != TRAINING:
        site.promotes = promotes


def _tell(session: Session, change: ModelChange) -> None:
    """Tell the webhooks that another version scores."""
    outbox.tell(
        session.connection(),
        EventType.MODEL_ROLLED_BACK if change.is_rollback else EventType.MODEL_PROMOTED,
        change.site_id,
        lambda site: ModelTold(
            site=site,
            old_version=change.old_number,
            version=change.number,
            actor=change.actor,
            reason=change.reason,
        ),
        change.changed_at,
    )
