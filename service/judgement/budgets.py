"""Error budgets: which thresholds they lead to on a site, and what queue to expect of them.

The one rule: an operator states errors, never thresholds. Of a site's own comments the good
ones say where scores begin to mean something; until there are enough of them, the shipped
model's held-out training comments do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session, aliased

from service.core import forgetting, moderation, sites
from service.judgement import judging
from service.judgement.judging import Rulebook
from service.judgement.shelf import Shelf
from service.ledger.db import Database, utc_now
from service.ledger.models import COMMENTS, DECISIONS, SITES, Site, came_since, is_automatic
from service.pure.policy import Policy, Status
from service.pure.scoring import (
    Budget,
    Content,
    Outlook,
    Scorer,
    Thresholds,
    Tuning,
    outlook,
    probability,
    thresholds,
)

_POPULATION_MOST = 4000
_POPULATION_DAYS = 90
_LIKELY = 0.5
# Decisions of people before thresholds may fall below those of the shipped model.
_HEARD = 100


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a budget would do to a site's queue, by its comments of the last 90 days.

    Attributes:
        thresholds: that the budget leads to.
        outlook: shares held, marked, and so on.
        comments: how many comments it was tried on.
        per_day: how many comments a day the site has had.
    """

    thresholds: Thresholds
    outlook: Outlook
    comments: int
    per_day: float


@dataclass(frozen=True, slots=True)
class Population:
    """A site's recent comments, newest first: what thresholds are chosen on.

    Not only those that people decided on: they see mostly what was held, and their decisions
    alone would make every site look suspicious.

    Attributes:
        ids: of the comments.
        contents: what the classifier sees of each.
        decided: what a person made of each: good, spam, or nothing yet (`None`).
        approved: whether each is approved, by whomever.
        recorded: the score each had when it came in, before anybody could learn from it.
        days: how long a time they came in, at least 1.
    """

    ids: list[str]
    contents: list[Content]
    decided: list[bool | None]
    approved: list[bool]
    recorded: list[float | None]
    days: float


def choose(database: Database, scorer: Scorer, shelf: Shelf, site_id: str) -> Expectation:
    """Choose and store a site's thresholds for the version that scores now."""
    with database.reading() as session:
        book = current(session, scorer, shelf, site_id)
        people = population(session, site_id)
    expected = _expect(scorer, book, people)
    with database.transaction() as session:
        store(session, site_id, book, expected.thresholds)
    return expected


def set_policy(
    database: Database,
    scorer: Scorer,
    shelf: Shelf,
    site_id: str,
    policy: Policy,
    expected: Expectation | None = None,
) -> Expectation:
    """Put a policy in place, with the thresholds its budget leads to, if they are not known yet."""
    expected = expected or expect(database, scorer, shelf, site_id, policy)
    with database.transaction() as session:
        sites.set_policy(session, site_id, policy)
        book = current(session, scorer, shelf, site_id)
        store(session, site_id, book, expected.thresholds)
    return expected


def expect(
    database: Database,
    scorer: Scorer,
    shelf: Shelf,
    site_id: str,
    policy: Policy | None = None,
    number: int | None = None,
) -> Expectation:
    """Say what a budget would do to a site's queue; nothing is changed.

    Args:
        database: the ledger.
        scorer: the classifier.
        shelf: the layers already read.
        site_id: whose.
        policy: with the budget; the present one if not given.
        number: the version; the present one if not given.
    """
    with database.reading() as session:
        book = current(session, scorer, shelf, site_id, policy, number)
        people = population(session, site_id)
    return _expect(scorer, book, people)


def current(
    session: Session,
    scorer: Scorer,
    shelf: Shelf,
    site_id: str,
    policy: Policy | None = None,
    number: int | None = None,
) -> Rulebook:
    """Give how a site judges now, or would with another policy or version."""
    row = session.execute(
        select(SITES.c.policy, SITES.c.model, SITES.c.thresholds).where(SITES.c.id == site_id)
    ).one()
    return judging.rulebook(
        session,
        scorer,
        shelf,
        site_id,
        policy or Policy.model_validate(row.policy),
        row.model if number is None else number,
        row.thresholds,
    )


def population(session: Session, site_id: str) -> Population:
    """Give a site's comments of the last 90 days, at most 4,000, that are not rejected."""
    last, machine = aliased(DECISIONS), aliased(DECISIONS)
    rows = session.execute(
        select(
            *judging.COLUMNS,
            COMMENTS.c.status,
            COMMENTS.c.created_at,
            last.c.actor,
            machine.c.score,
        )
        .outerjoin(last, last.c.id == COMMENTS.c.decision_id)
        .outerjoin(
            machine,
            is_automatic(machine),
        )
        .where(
            COMMENTS.c.site_id == site_id,
            COMMENTS.c.status.in_((Status.APPROVED, Status.SPAM, Status.PENDING)),
            came_since(utc_now() - timedelta(days=_POPULATION_DAYS)),
            forgetting.has_text(),
        )
        .order_by(COMMENTS.c.id.desc())
        .limit(_POPULATION_MOST)
    ).all()
    cases = judging.cases(session, rows, [row.echoes for row in rows])
    oldest = min((row.created_at for row in rows), default=utc_now())
    return Population(
        ids=[row.id for row in rows],
        contents=[case.content for case in cases],
        decided=[
            row.status == Status.SPAM
            if moderation.is_person(row.actor) and row.status != Status.PENDING
            else None
            for row in rows
        ],
        approved=[row.status == Status.APPROVED for row in rows],
        recorded=[row.score for row in rows],
        days=max(1.0, (utc_now() - oldest) / timedelta(days=1)),
    )


def scores_of(
    scorer: Scorer,
    people: Population,
    tuning: Tuning | None,
    held_out: Mapping[str, float] | None = None,
) -> list[float]:
    """Score a population by what had not seen it.

    What people have decided on may have been learnt from: there the held-out prediction counts,
    or else the score that the comment had when it came in.

    Args:
        scorer: the shipped model.
        people: the comments.
        tuning: the site's layer.
        held_out: log-odds by comment id, where the layer's own training left a comment out.
    """
    given = scorer.probabilities(people.contents, tuning)
    if tuning is None:
        return given
    unseen = held_out or {}
    scores = []
    for place, comment_id in enumerate(people.ids):
        recorded = people.recorded[place]
        if comment_id in unseen:
            scores.append(probability(unseen[comment_id]))
        elif people.decided[place] is not None and recorded is not None:
            scores.append(recorded)
        else:
            scores.append(given[place])
    return scores


def expect_of(
    people: Population, budget: Budget, scorer: Scorer, scores: Sequence[float]
) -> Expectation:
    """Choose thresholds for scores, and say what they would do."""
    goodness = [
        _goodness(decided, approved, score)
        for decided, approved, score in zip(people.decided, people.approved, scores, strict=True)
    ]
    default = scorer.thresholds(budget)
    chosen = thresholds(scores, budget, default, goodness)
    if sum(decided is not None for decided in people.decided) < _HEARD:
        # The scores alone cannot be evidence that lower scores would do.
        chosen = Thresholds(max(chosen.hold, default.hold), max(chosen.spam, default.spam))
    return Expectation(
        thresholds=chosen,
        outlook=outlook(scores, [good < _LIKELY for good in goodness], chosen),
        comments=len(scores),
        per_day=len(scores) / people.days,
    )


def store(session: Session, site_id: str, book: Rulebook, chosen: Thresholds) -> None:
    """Have a site's scores mean something from these thresholds on."""
    values = {
        "for": [book.version, *judging.budget_of(book.policy)],
        "hold": chosen.hold,
        "spam": chosen.spam,
        "at": utc_now().isoformat(),
    }
    session.execute(update(Site).where(Site.id == site_id).values(thresholds=values))


def _expect(scorer: Scorer, book: Rulebook, people: Population) -> Expectation:
    budget = Budget(*judging.budget_of(book.policy))
    return expect_of(people, budget, scorer, scores_of(scorer, people, book.tuning))


def _goodness(decided: bool | None, approved: bool, score: float) -> float:
    """How likely a comment is good: what people say, else what follows from its score.

    That it was published and nobody objected halves the doubt, no more: perhaps nobody looked,
    and what an older version let through is what a newer one was taught to see.
    """
    if decided is not None:
        return 0.0 if decided else 1.0
    return 1.0 - score / 2 if approved else 1.0 - score
