"""Labels: what people's decisions teach, and which of them are not believed yet.

The one rule: a label is the last decision a person took on the text as it stands, approved or
spam; a machine's decision is never a label, and a rejected comment teaches nothing.

A burst of labels from one actor that contradict the classifier is quarantined, because that is
how a stolen key or a tired moderator would teach a site nonsense: nothing is learnt from it
until somebody else decides the same, or an operator releases it. Quarantine is worked out anew
from the decisions each time, so there is no second truth that could go stale.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, FromClause, and_, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from service.base.errors import NotFound
from service.core import forgetting
from service.ledger.db import new_id, utc_now
from service.ledger.models import (
    AUTHOR_ACTOR,
    COMMENTS,
    DECISIONS,
    POLICY_ACTOR,
    THREADS,
    LabelRelease,
    Site,
    is_automatic,
)
from service.pure.policy import Status

WINDOW = timedelta(hours=1)
# A site with many labels stands more of them at once: a fifth cannot turn what the rest teach.
_SHARE = 5
_SURPRISED_AT = 0.5
# Near-duplicates teach the same thing; more of them would only weigh it more.
_ALIKE_MOST = 20
_COUNT_MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class Labelled:
    """One comment that a person has decided on.

    Attributes:
        comment_id: the comment.
        is_spam: what it was decided to be.
        actor: who decided last.
        decided_at: when.
        score: what the classifier had given it, 0-1, `None` if nothing.
        campaign_id: the near-duplicates it belongs to, if any.
        name, email_normalised, url, body, page_title, echoes: what the classifier sees of it.
        confirmed: whether another person has decided the same, on it or on a near-duplicate.
    """

    comment_id: str
    is_spam: bool
    actor: str
    decided_at: datetime
    score: float | None
    campaign_id: str | None
    name: str
    email_normalised: str
    url: str | None
    body: str
    page_title: str | None
    echoes: int
    confirmed: bool = False

    @property
    def contradicts(self) -> bool:
        """Whether it is the contrary of what the classifier took it for, or it had no opinion."""
        return self.score is None or (self.score >= _SURPRISED_AT) != self.is_spam


@dataclass(frozen=True, slots=True)
class Labels:
    """A site's labels, oldest first.

    Attributes:
        trusted: those to learn from.
        quarantined: those that are not believed yet.
    """

    trusted: tuple[Labelled, ...]
    quarantined: tuple[Labelled, ...]

    @property
    def ham(self) -> int:
        """How many trusted ones are good comments."""
        return sum(not label.is_spam for label in self.trusted)

    @property
    def spam(self) -> int:
        """How many trusted ones are spam."""
        return len(self.trusted) - self.ham

    @property
    def suspects(self) -> Counter[str]:
        """How many are quarantined, by actor."""
        return Counter(label.actor for label in self.quarantined)


def of_site(session: Session, site_id: str, burst: int) -> Labels:
    """Give a site's labels.

    Args:
        session: for reading.
        site_id: whose.
        burst: how many contradicting labels of one actor in one hour are still believed, on a
            site with few labels; a fifth of all earlier ones where that is more.
    """
    found = _all(session, site_id)
    released = _releases(session, site_id)
    held = quarantined(found, burst, released)
    return Labels(
        trusted=tuple(_thinned(one for one in found if one.comment_id not in held)),
        quarantined=tuple(one for one in found if one.comment_id in held),
    )


def quarantined(
    labels: Sequence[Labelled], burst: int, released: dict[str, datetime] | None = None
) -> set[str]:
    """Give the ids of the comments whose labels are not believed yet.

    Args:
        labels: oldest first.
        burst: see `of_site`.
        released: up to when an operator has vouched for an actor's labels.
    """
    vouched = released or {}
    by_actor: dict[str, list[Labelled]] = defaultdict(list)
    for label in labels:
        until = vouched.get(label.actor)
        if label.contradicts and (until is None or label.decided_at > until):
            by_actor[label.actor].append(label)
    all_times = [label.decided_at for label in labels]
    held: set[str] = set()
    for mine in by_actor.values():
        times = [label.decided_at for label in mine]
        for last, label in enumerate(mine):
            begin = label.decided_at - WINDOW
            window = mine[bisect_left(times, begin) : last + 1]
            if len(window) > max(burst, bisect_left(all_times, begin) // _SHARE):
                held.update(one.comment_id for one in window if not one.confirmed)
    return held


def release(session: Session, site_id: str, actor: str) -> int:
    """Believe what an actor has labelled until now, and give how many labels that is.

    Raises:
        NotFound: this actor has labelled nothing on the site.
    """
    count = session.scalar(
        select(func.count())
        .select_from(DECISIONS)
        .where(DECISIONS.c.site_id == site_id, DECISIONS.c.actor == actor, _is_human())
    )
    if not count:
        raise NotFound(f"{actor} has decided nothing on this site")
    session.add(
        LabelRelease(
            id=new_id("rel"), site_id=site_id, actor=actor, until=utc_now(), released_at=utc_now()
        )
    )
    # Training has passed over these labels; it has to look at all of them again.
    session.execute(update(Site).where(Site.id == site_id).values(learnt_at=None))
    session.flush()
    return count


def count(
    session: Session,
    site_id: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    most: int = _COUNT_MOST,
) -> int:
    """Count people's decisions after one moment and up to another, no further than `most`."""
    found = select(DECISIONS.c.id).where(
        DECISIONS.c.site_id == site_id,
        _is_human(),
        DECISIONS.c.status.in_((Status.APPROVED, Status.SPAM)),
    )
    if since is not None:
        found = found.where(DECISIONS.c.decided_at > since)
    if until is not None:
        found = found.where(DECISIONS.c.decided_at <= until)
    return session.scalar(select(func.count()).select_from(found.limit(most).subquery())) or 0


def _is_human() -> ColumnElement[bool]:
    """The condition that a person decided, not about their own comment, and it stands."""
    return and_(
        DECISIONS.c.actor != POLICY_ACTOR, DECISIONS.c.actor != AUTHOR_ACTOR, _stands(DECISIONS)
    )


def _stands(table: FromClause) -> ColumnElement[bool]:
    """The condition that a decision neither takes another back nor was taken back."""
    undoing = aliased(DECISIONS)
    taken_back = select(undoing.c.id).where(undoing.c.undoes == table.c.id).exists()
    return and_(table.c.undoes.is_(None), ~taken_back)


def _all(session: Session, site_id: str) -> list[Labelled]:
    """Give the last human decision on each comment whose text has not changed since."""
    later = aliased(DECISIONS)
    machine = aliased(DECISIONS)
    columns = (
        DECISIONS.c.comment_id,
        DECISIONS.c.status,
        DECISIONS.c.actor,
        DECISIONS.c.decided_at,
        machine.c.score,
        COMMENTS.c.campaign_id,
        COMMENTS.c.name,
        COMMENTS.c.email_normalised,
        COMMENTS.c.url,
        COMMENTS.c.body,
        THREADS.c.page_title,
        COMMENTS.c.echoes,
    )
    overruled = (
        select(later.c.id)
        .where(
            later.c.comment_id == DECISIONS.c.comment_id,
            later.c.comment_version > DECISIONS.c.comment_version,
            later.c.actor != POLICY_ACTOR,
            _stands(later),
        )
        .exists()
    )
    rows = session.execute(
        select(*columns)
        .join(COMMENTS, COMMENTS.c.id == DECISIONS.c.comment_id)
        .join(THREADS, THREADS.c.id == COMMENTS.c.thread_id)
        .outerjoin(
            machine,
            is_automatic(machine),
        )
        .where(
            DECISIONS.c.site_id == site_id,
            _is_human(),
            DECISIONS.c.comment_revision == COMMENTS.c.revision,
            or_(DECISIONS.c.status == Status.APPROVED, DECISIONS.c.status == Status.SPAM),
            forgetting.has_text(),
            ~overruled,
        )
        .order_by(DECISIONS.c.decided_at, DECISIONS.c.id)
    ).all()
    agreed = _agreements(session, site_id)
    return [
        Labelled(
            comment_id=row[0],
            is_spam=row[1] == Status.SPAM,
            actor=row[2],
            decided_at=row[3],
            score=row[4],
            campaign_id=row[5],
            name=row[6],
            email_normalised=row[7],
            url=row[8],
            body=row[9],
            page_title=row[10],
            echoes=row[11],
            confirmed=len(agreed[(row[5] or row[0], row[1])]) > 1,
        )
        for row in rows
    ]


def _agreements(session: Session, site_id: str) -> defaultdict[tuple[str, str], set[str]]:
    """Give who decided what, by campaign, or by comment where there is none."""
    rows = session.execute(
        select(
            func.coalesce(COMMENTS.c.campaign_id, COMMENTS.c.id),
            DECISIONS.c.status,
            DECISIONS.c.actor,
        )
        .join(COMMENTS, COMMENTS.c.id == DECISIONS.c.comment_id)
        .where(
            DECISIONS.c.site_id == site_id,
            _is_human(),
            DECISIONS.c.comment_revision == COMMENTS.c.revision,
        )
        .distinct()
    )
    found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for key, status, actor in rows:
        found[(key, status)].add(actor)
    return found


def _releases(session: Session, site_id: str) -> dict[str, datetime]:
    rows = session.execute(
        select(LabelRelease.actor, func.max(LabelRelease.until))
        .where(LabelRelease.site_id == site_id)
        .group_by(LabelRelease.actor)
    )
    return {row[0]: row[1] for row in rows}


def _thinned(labels: Iterable[Labelled]) -> list[Labelled]:
    """Keep the newest few of each campaign and kind."""
    kept: list[Labelled] = []
    counts: Counter[tuple[str, bool]] = Counter()
    for label in reversed(list(labels)):
        if label.campaign_id is not None:
            counts[(label.campaign_id, label.is_spam)] += 1
            if counts[(label.campaign_id, label.is_spam)] > _ALIKE_MOST:
                continue
        kept.append(label)
    return kept[::-1]
