"""Shadows: what a second model would have done to comments, which it decides none of."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import and_, delete, func, insert, select
from sqlalchemy.orm import Session

from service.ledger.models import DECISIONS, POLICY_ACTOR, SHADOW_RULINGS
from service.pure.policy import Ruling, Status


@dataclass(frozen=True, slots=True)
class Shadow:
    """What a shadow model would have done; it changes nothing."""

    comment_id: str
    site_id: str
    number: int
    score: float | None
    ruling: Ruling


def note(session: Session, shadows: Sequence[Shadow]) -> None:
    """Keep what shadows would have done, in place of what they said of the same comments before."""
    if not shadows:
        return
    connection = session.connection()
    ids = [shadow.comment_id for shadow in shadows]
    connection.execute(delete(SHADOW_RULINGS).where(SHADOW_RULINGS.c.comment_id.in_(ids)))
    connection.execute(
        insert(SHADOW_RULINGS),
        [
            {
                "comment_id": shadow.comment_id,
                "site_id": shadow.site_id,
                "number": shadow.number,
                "score": shadow.score,
                "status": shadow.ruling.status,
                "rule": shadow.ruling.rule,
            }
            for shadow in shadows
        ],
    )


def moves(session: Session, site_id: str) -> Counter[tuple[Status, Status]]:
    """Count what the present model made of comments and what the shadow would have made of them.

    The machine's own decisions are compared, whatever people did later.
    """
    rows = session.execute(
        select(DECISIONS.c.status, SHADOW_RULINGS.c.status, func.count())
        .join(
            DECISIONS,
            and_(
                DECISIONS.c.comment_id == SHADOW_RULINGS.c.comment_id,
                DECISIONS.c.actor == POLICY_ACTOR,
            ),
        )
        .where(SHADOW_RULINGS.c.site_id == site_id)
        .group_by(DECISIONS.c.status, SHADOW_RULINGS.c.status)
    )
    return Counter({(Status(row[0]), Status(row[1])): row[2] for row in rows})
