"""Previews: what another policy or model would do, worked out by a worker, shown by a page.

The web processes have no classifier in memory, and need none: they leave the question in the
ledger, ring for the trainer, and read the answer when it is there.
"""

import dataclasses
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from service import backtest, budgets
from service.backtest import Backtest, Change
from service.budgets import Expectation
from service.db import Database, new_id, ring_after, utc_now
from service.errors import HamgateError, NotFound
from service.jobs import Job
from service.models import Preview
from service.policy import Policy
from service.scoring import Scorer
from service.versions import Shelf

DAYS = 7
_KEPT_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class PreviewView:
    """A question and, as soon as a worker has it, its answer.

    Attributes:
        policy: the proposed one.
        number: the proposed version of the model; `None` for the present one.
        answer: `None` while nobody has answered; else as `_told` makes it, or `{"error": …}`.
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
    session.execute(delete(Preview).where(Preview.asked_at < utc_now() - _KEPT_FOR))
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


def answer_all(database: Database, scorer: Scorer, shelf: Shelf) -> int:
    """Answer every open question, oldest first, and give how many there were."""
    with database.reading() as session:
        waiting = session.scalars(
            select(Preview).where(Preview.answer.is_(None)).order_by(Preview.id)
        ).all()
    for one in waiting:
        answer = _answer(database, scorer, shelf, one)
        with database.transaction() as session:
            session.execute(update(Preview).where(Preview.id == one.id).values(answer=answer))
    return len(waiting)


def _answer(database: Database, scorer: Scorer, shelf: Shelf, one: Preview) -> dict[str, Any]:
    policy = Policy.model_validate(one.policy)
    try:
        before = budgets.expect(database, scorer, shelf, one.site_id)
        after = budgets.expect(database, scorer, shelf, one.site_id, policy, one.number)
        found = backtest.run(
            database, scorer, shelf, one.site_id, days=DAYS, policy=policy, number=one.number
        )
    except HamgateError as error:
        return {"error": str(error)}
    return _told(found, before, after)


def _told(found: Backtest, before: Expectation, after: Expectation) -> dict[str, Any]:
    return {
        "days": DAYS,
        "comments": found.comments,
        "changed": found.changed,
        "mistakes": [found.mistakes("before"), found.mistakes("after")],
        "expected": [_expected(before), _expected(after)],
        "moves": [
            {
                "before": was,
                "after": would,
                "count": count,
                "examples": [_example(one) for one in found.examples[(was, would)]],
            }
            for (was, would), count in found.moves.most_common()
        ],
    }


def _expected(one: Expectation) -> dict[str, Any]:
    return {
        **dataclasses.asdict(one.thresholds),
        **dataclasses.asdict(one.outlook),
        "comments": one.comments,
        "per_day": round(one.per_day, 1),
    }


def _example(one: Change) -> dict[str, Any]:
    return {
        "comment_id": one.comment_id,
        "name": one.name,
        "excerpt": one.excerpt,
        "before": one.before.ruling.reason,
        "after": one.after.ruling.reason,
        "decided": one.decided,
    }
