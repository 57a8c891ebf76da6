"""Back-test: what another policy or model would have done to the comments of the last days.

The one rule: nothing is changed, and both sides are judged by the code that judges live
comments. A difference shown here is what a site would get.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.orm import Session

from service.core import forgetting, moderation
from service.judgement import budgets, judging, versions
from service.judgement.budgets import Expectation
from service.judgement.judging import Judgement, Rulebook
from service.judgement.shelf import Shelf
from service.ledger.db import Database, utc_now
from service.ledger.models import COMMENTS, DECISIONS, came_since
from service.pure.policy import Policy, Status, Thresholds
from service.pure.scoring import Scorer

EXAMPLES_MOST = 5
_PAGE = 500
_EXCERPT = 100

Progress = Callable[[int, int], None]
Move = tuple[Status, Status]


@dataclass(frozen=True, slots=True)
class Change:
    """One comment that would fare otherwise.

    Attributes:
        comment_id: the comment.
        created_at: when it came in.
        name: its author's.
        excerpt: its first 100 characters.
        before: what the rules say now, and why.
        after: what they would say, and why.
        decided: what a person has made of it, if anybody has.
    """

    comment_id: str
    created_at: datetime
    name: str
    excerpt: str
    before: Judgement
    after: Judgement
    decided: Status | None


@dataclass(slots=True)
class Backtest:
    """What would change.

    Attributes:
        before: how comments are judged now.
        after: how they would be.
        comments: how many were judged.
        moves: how many would move from one status to another.
        examples: up to five of each move, newest first.
        against_people: of comments a person has approved or called spam, how many each side
            would have got wrong: `(side, what the person said, what the side says)`.
    """

    before: Rulebook
    after: Rulebook
    comments: int = 0
    moves: Counter[Move] = field(default_factory=Counter)
    examples: dict[Move, list[Change]] = field(default_factory=lambda: defaultdict(list))
    against_people: Counter[tuple[str, Status, Status]] = field(default_factory=Counter)

    @property
    def changed(self) -> int:
        """How many comments would fare otherwise."""
        return self.moves.total()

    def mistakes(self, side: str) -> int:
        """How often a side contradicts people outright: spam approved, or good marked as spam.

        Args:
            side: `before` or `after`.
        """
        return (
            self.against_people[(side, Status.SPAM, Status.APPROVED)]
            + self.against_people[(side, Status.APPROVED, Status.SPAM)]
        )


def run(
    database: Database,
    scorer: Scorer,
    shelf: Shelf,
    site_id: str,
    *,
    days: int,
    policy: Policy | None = None,
    number: int | None = None,
    expected: Expectation | None = None,
    progress: Progress = lambda done, of: None,
) -> Backtest:
    """Judge a site's comments of the last days again, as now and as proposed.

    Args:
        database: the ledger; only read.
        scorer: the classifier.
        shelf: the layers already read.
        site_id: whose.
        days: how far back.
        policy: the proposed one; the present one if not given.
        number: the proposed version of the model; the present one if not given.
        expected: of that policy and version, if it is known already.
        progress: told how many comments are judged, of how many.

    Raises:
        NotFound: the site has no such version.
        WrongBase: the version belongs to another shipped model.
    """
    with database.reading() as session:
        if number is not None:
            versions.check_usable(session, site_id, number, scorer.version)
        before = budgets.current(session, scorer, shelf, site_id)
        after = budgets.current(session, scorer, shelf, site_id, policy, number)
        since = utc_now() - timedelta(days=days)
        total = session.scalar(_recent(site_id, since, func.count())) or 0
    if judging.budget_of(after.policy) != judging.budget_of(before.policy) or number is not None:
        expected = expected or budgets.expect(database, scorer, shelf, site_id, policy, number)
        chosen = expected.thresholds
        after = replace(after, thresholds=Thresholds(chosen.hold, chosen.spam))
    found = Backtest(before, after)
    progress(0, total)
    with database.reading() as session:
        for rows in _pages(session, site_id, since):
            _judge(session, scorer, found, rows)
            progress(found.comments, total)
    return found


def _judge(session: Session, scorer: Scorer, found: Backtest, rows: list[Row[Any]]) -> None:
    cases = judging.cases(session, rows, [row.echoes for row in rows])
    site_id = rows[0].site_id
    then = judging.judge(scorer, cases, {site_id: found.before})
    instead = judging.judge(scorer, cases, {site_id: found.after})
    for row, one, other in zip(rows, then, instead, strict=True):
        found.comments += 1
        decided = _decided(row)
        if decided is not None:
            found.against_people[("before", decided, one.ruling.status)] += 1
            found.against_people[("after", decided, other.ruling.status)] += 1
        move = (one.ruling.status, other.ruling.status)
        if move[0] is move[1]:
            continue
        found.moves[move] += 1
        if len(found.examples[move]) < EXAMPLES_MOST:
            found.examples[move].append(
                Change(
                    comment_id=row.id,
                    created_at=row.created_at,
                    name=row.name,
                    excerpt=" ".join(row.body.split())[:_EXCERPT],
                    before=one,
                    after=other,
                    decided=decided,
                )
            )


def _decided(row: Row[Any]) -> Status | None:
    if not moderation.is_person(row.actor) or row.status not in (Status.APPROVED, Status.SPAM):
        return None
    return Status(row.status)


def _recent(site_id: str, since: datetime, *columns: Any) -> Any:
    return select(*columns).where(
        COMMENTS.c.site_id == site_id,
        came_since(since),
        COMMENTS.c.status != Status.DELETED,
        forgetting.has_text(),
    )


def _pages(session: Session, site_id: str, since: datetime) -> Iterator[list[Row[Any]]]:
    """Give the comments, newest first, some hundred at a time."""
    query = (
        _recent(
            site_id,
            since,
            *judging.COLUMNS,
            COMMENTS.c.created_at,
            COMMENTS.c.status,
            DECISIONS.c.actor,
        )
        .outerjoin(DECISIONS, DECISIONS.c.id == COMMENTS.c.decision_id)
        .order_by(COMMENTS.c.id.desc())
        .limit(_PAGE)
    )
    rows = list(session.execute(query))
    while rows:
        yield rows
        rows = list(session.execute(query.where(COMMENTS.c.id < rows[-1].id)))
