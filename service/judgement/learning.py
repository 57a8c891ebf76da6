"""Learning: from people's decisions to a site's next version, if it is better.

The one rule: a version scores comments only after it has beaten the present one on decisions
that neither had seen, or because a person says so. Nothing here holds a transaction while it
learns, so classification never waits for it.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from service.base.config import Settings
from service.judgement import budgets, judging, labels, versions
from service.judgement.judging import Rulebook
from service.judgement.labels import Labelled, Labels
from service.judgement.shelf import Shelf
from service.judgement.versions import SHIPPED, TRAINING, Overtaken
from service.ledger.db import Database, utc_now
from service.ledger.models import SITES, ModelVersion, Site
from service.pure.policy import Policy
from service.pure.scoring import (
    Budget,
    Example,
    Label,
    Scorer,
    TrainingDataError,
)

Progress = Callable[[int, int, str], None]

# Thresholds follow a site's comments at least this often.
_THRESHOLDS_FOR = timedelta(days=1)
# A twentieth more labels are worth another version; on small sites `train_after` of them.
_GROWTH = 20
# The newest so many teach and judge: a layer learns from 4,000 at most, and to try it on ten
# thousand of 250 characters takes a minute and 100 MB.
_LOOKED_AT = 10_000


@dataclass(frozen=True, slots=True)
class Lesson:
    """What came of a training.

    Attributes:
        number: of the version that was kept; `None` if none could be made.
        promoted: whether it scores from now on.
        reason: why, or why not, for people.
        report: what is kept with the version; empty without one.
    """

    number: int | None
    promoted: bool
    reason: str
    report: dict[str, Any]


def train(
    database: Database,
    scorer: Scorer,
    site_id: str,
    settings: Settings,
    *,
    shelf: Shelf | None = None,
    progress: Progress = lambda done, of, step: None,
) -> Lesson:
    """Teach a site's next version, keep it with its report, and promote it if it is better.

    Thresholds are chosen anew whichever version scores in the end.

    Args:
        database: the ledger.
        scorer: the shipped model.
        site_id: whose decisions.
        settings: how large a burst of labels is believed.
        shelf: the layers already read.
        progress: told steps done, steps in all, and what is done next.
    """
    shelf = shelf or Shelf()
    with database.reading() as session:
        found = labels.of_site(session, site_id, settings.train_burst)
        current = budgets.current(session, scorer, shelf, site_id)
        standing = versions.standing(session, site_id)
        until = _taught_until(session, site_id, current.number)
    lesson = _teach(database, scorer, site_id, found, current, standing.model, until, progress)
    if not lesson.promoted:
        budgets.choose(database, scorer, shelf, site_id)
    newest = max((one.decided_at for one in found.trusted + found.quarantined), default=utc_now())
    with database.transaction() as session:
        session.execute(update(Site).where(Site.id == site_id).values(learnt_at=newest))
    return lesson


def due(session: Session, scorer: Scorer, settings: Settings) -> list[str]:
    """Give the sites that training has something to do for.

    New decisions of people, a new shipped model, another error budget, or thresholds older than
    a day.
    """
    if scorer.version is None:
        return []
    rows = session.execute(
        select(SITES.c.id, SITES.c.thresholds, SITES.c.learnt_at, SITES.c.policy).order_by(
            SITES.c.id
        )
    ).all()
    oldest = (utc_now() - _THRESHOLDS_FOR).isoformat()
    found = []
    for site_id, chosen, learnt_at, settled in rows:
        if chosen is None or chosen["at"] < oldest:
            found.append(site_id)
            continue
        version, *budget = chosen["for"]
        wanted = judging.budget_of(Policy.model_validate(settled))
        if version.partition("+")[0] != scorer.version or tuple(budget) != wanted:
            found.append(site_id)
            continue
        if _has_grown(session, site_id, learnt_at, settings.train_after):
            found.append(site_id)
    return found


def _teach(
    database: Database,
    scorer: Scorer,
    site_id: str,
    found: Labels,
    current: Rulebook,
    present: int,
    until: datetime | None,
    progress: Progress,
) -> Lesson:
    began = time.monotonic()
    trusted = found.trusted[-_LOOKED_AT:]
    unseen = [until is None or one.decided_at > until for one in trusted]
    if not any(unseen):
        since = "since the last version" if trusted else "yet"
        return Lesson(None, False, f"nobody has decided anything {since}", {})
    examples = [example(one) for one in trusted]
    try:
        candidate = scorer.rehearse(examples, current.tuning, unseen, progress)
    except TrainingDataError as error:
        return Lesson(None, False, str(error), {})
    comparison = candidate.comparison
    with database.reading() as session:
        people = budgets.population(session, site_id)
    held_out = dict(zip((one.comment_id for one in trusted), candidate.odds, strict=True))
    budget = Budget(*judging.budget_of(current.policy))
    expected = budgets.expect_of(
        people, budget, scorer, budgets.scores_of(scorer, people, candidate.tuning, held_out)
    )
    report = {
        "labels": {"ham": found.ham, "spam": found.spam, "quarantined": len(found.quarantined)},
        "unseen": sum(unseen),
        "against": current.number,
        "comparison": asdict(comparison),
        "thresholds": asdict(expected.thresholds),
        "expected": {**asdict(expected.outlook), "comments": expected.comments},
        "appraisal": asdict(candidate.appraisal),
        "seconds": round(time.monotonic() - began, 1),
    }
    newest = max(one.decided_at for one in trusted)
    promoted, reason = comparison.is_better, comparison.reason
    with database.transaction() as session:
        number = versions.add(session, site_id, candidate.tuning, report, newest)
        if promoted:
            try:
                versions.promote(
                    session, site_id, number, actor=TRAINING, reason=reason, instead_of=present
                )
            except Overtaken as error:
                promoted, reason = False, f"{reason}, but {error}"
            else:
                book = Rulebook(
                    current.policy,
                    current.thresholds,
                    f"{scorer.version}+{number}",
                    number,
                    candidate.tuning,
                )
                budgets.store(session, site_id, book, expected.thresholds)
    return Lesson(number, promoted, reason, report)


def example(one: Labelled) -> Example:
    """Give a label as the classifier learns it; near-duplicates form a group."""
    return Example(
        content=judging.content(one, one.page_title, one.echoes),
        label=Label.SPAM if one.is_spam else Label.HAM,
        group=one.campaign_id or one.comment_id,
    )


def _taught_until(session: Session, site_id: str, number: int) -> datetime | None:
    """Give the time of the newest label the present version was taught by."""
    if number == SHIPPED:
        return None
    return session.scalar(
        select(ModelVersion.taught_until).where(
            ModelVersion.site_id == site_id, ModelVersion.number == number
        )
    )


def _has_grown(session: Session, site_id: str, learnt_at: datetime | None, after: int) -> bool:
    """Whether people have decided enough since; most sites are told by the first, short count."""
    if labels.count(session, site_id, since=learnt_at, most=after) < after:
        return False
    known = 0 if learnt_at is None else labels.count(session, site_id, until=learnt_at)
    needed = known // _GROWTH
    return needed <= after or labels.count(session, site_id, since=learnt_at, most=needed) >= needed


@dataclass(frozen=True, slots=True)
class Trial:
    """How a version does on decisions it has not seen, beside the shipped model on the same.

    Attributes:
        number: the version; 0 for the shipped model alone.
        decisions: how many it was tried on.
        right: share of them it gets right at a probability of 0.5.
        right_shipped: that of the shipped model alone.
        loss: mean log loss, in nats; a coin's is 0.69.
        loss_shipped: that of the shipped model alone.
    """

    number: int
    decisions: int
    right: float
    right_shipped: float
    loss: float
    loss_shipped: float


def evaluate(
    session: Session, scorer: Scorer, shelf: Shelf, site_id: str, settings: Settings
) -> list[Trial]:
    """Try the shipped model and every version that belongs to it on decisions it has not seen."""
    trusted = labels.of_site(session, site_id, settings.train_burst).trusted
    contents = [example(one).content for one in trusted]
    shipped = scorer.probabilities(contents, None)
    trials = [_trial(SHIPPED, trusted, shipped, shipped)]
    for view in versions.listing(session, site_id):
        tuning = shelf.tuning(session, site_id, view.number)
        if tuning is None or view.base != scorer.version:
            continue
        later = [place for place, one in enumerate(trusted) if one.decided_at > view.taught_until]
        trials.append(
            _trial(
                view.number,
                [trusted[place] for place in later],
                scorer.probabilities([contents[place] for place in later], tuning),
                [shipped[place] for place in later],
            )
        )
    return trials


def _trial(
    number: int, decided: Sequence[Labelled], scores: Sequence[float], shipped: Sequence[float]
) -> Trial:
    spam = [one.is_spam for one in decided]
    return Trial(
        number=number,
        decisions=len(decided),
        right=_right(scores, spam),
        right_shipped=_right(shipped, spam),
        loss=_loss(scores, spam),
        loss_shipped=_loss(shipped, spam),
    )


def _right(scores: Sequence[float], spam: Sequence[bool]) -> float:
    hits = [(score >= 0.5) == truth for score, truth in zip(scores, spam, strict=True)]
    return sum(hits) / len(hits) if hits else 0.0


def _loss(scores: Sequence[float], spam: Sequence[bool]) -> float:
    least = 1e-12
    losses = [
        -math.log(max(least, score if truth else 1.0 - score))
        for score, truth in zip(scores, spam, strict=True)
    ]
    return sum(losses) / len(losses) if losses else 0.0
