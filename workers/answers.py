"""Answers to the dashboard's previews: what another policy or model would do."""

import dataclasses
from typing import Any

from sqlalchemy import select, update

from service.base.errors import HamgateError
from service.judgement import backtest, budgets
from service.judgement.backtest import Backtest, Change
from service.judgement.budgets import Expectation
from service.judgement.shelf import Shelf
from service.ledger.db import Database
from service.ledger.models import Preview
from service.pure.policy import Policy
from service.pure.scoring import Scorer

_DAYS = 7


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
            database,
            scorer,
            shelf,
            one.site_id,
            days=_DAYS,
            policy=policy,
            number=one.number,
            expected=after,
        )
    except HamgateError as error:
        return {"error": str(error)}
    return _told(found, before, after)


def _told(found: Backtest, before: Expectation, after: Expectation) -> dict[str, Any]:
    return {
        "days": _DAYS,
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
