"""Previews: what another policy or model would do, worked out by a worker, shown by a page.

The web processes have no classifier in memory, and need none: they leave the question in the
ledger, ring for the trainer, and read the answer when it is there.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from service.base.errors import NotFound
from service.base.jobs import Job
from service.ledger.db import new_id, ring_after, utc_now
from service.ledger.models import Preview
from service.pure.policy import Policy

_KEPT_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class PreviewView:
    """A question and, as soon as a worker has it, its answer.

    Attributes:
        policy: the proposed one.
        number: the proposed version of the model; `None` for the present one.
        answer: `None` while nobody has answered; else as `workers.answers` writes it, or
            `{"error": …}`.
    """

    id: str
    policy: Policy
    number: int | None
    answer: dict[str, Any] | None
    asked_at: datetime


def ask(session: Session, site_id: str, policy: Policy, number: int | None = None) -> str:
    """Ask what a policy or a version would do, and give the question's id.

    Args:
        session: a transaction's; the trainer is rung for after its commit.
        site_id: whose comments.
        policy: the proposed one, or the present one.
        number: the proposed version; `None` for the present one.
    """
    preview_id = new_id("pre")
    forget_old(session, utc_now())
    session.add(
        Preview(
            id=preview_id,
            site_id=site_id,
            policy=policy.model_dump(mode="json"),
            number=number,
            asked_at=utc_now(),
        )
    )
    session.flush()
    ring_after(session.connection(), Job.TRAIN)
    return preview_id


def get(session: Session, site_id: str, preview_id: str) -> PreviewView:
    """Give a question with its answer, if there is one.

    Raises:
        NotFound: nobody asked that on this site in the last day.
    """
    row = session.scalar(
        select(Preview).where(Preview.id == preview_id, Preview.site_id == site_id)
    )
    if row is None:
        raise NotFound("this preview is gone; ask again")
    return PreviewView(
        row.id, Policy.model_validate(row.policy), row.number, row.answer, row.asked_at
    )


def has_old(session: Session, now: datetime) -> bool:
    """Whether there are questions older than a day, whose answers quote comments."""
    found = select(Preview.id).where(Preview.asked_at < now - _KEPT_FOR).limit(1)
    return session.scalar(found) is not None


def forget_old(session: Session, now: datetime) -> int:
    """Forget questions older than a day, and give how many."""
    gone = delete(Preview).where(Preview.asked_at < now - _KEPT_FOR).returning(Preview.id)
    return len(session.scalars(gone).all())
