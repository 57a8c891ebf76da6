"""Second looks: what one moderator decided, asked of another who is not told.

The one rule: an answer is no decision. It changes no status, teaches nothing, and is given
without knowing what was decided; all it is for is to know how far moderators agree.

Which decisions are in the sample follows from the random end of their ids alone, so it neither
depends on what was decided nor has to be kept, and a larger share adds to the smaller one.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, literal, select, true
from sqlalchemy.orm import Session, aliased

from service.base.errors import NotFound
from service.core import forgetting
from service.ledger.db import insert_into, utc_now
from service.ledger.models import COMMENTS, DECISIONS, POLICY_ACTOR, SECOND_LOOKS
from service.pure.policy import Status

ANSWERS = (Status.APPROVED, Status.SPAM, Status.REJECTED)
# Not at once: by then a slip was undone, and whoever saw it pass in the queue has seen others.
AFTER = timedelta(hours=1)
WITHIN = timedelta(days=14)
SAMPLE_MOST = 200
PAIRS_MOST = 1000
APART_MOST = 50
# For a wrong key; later nobody improves on what they had said.
_WITHDRAW_FOR = timedelta(minutes=10)
_PERSON = "moderator:"
# Where the last four of the random hexadecimal digits of `new_id` stand in a decision's id.
_TAIL = len("dec_") + 12 + 14 - 3


@dataclass(frozen=True, slots=True)
class Question:
    """A decision that somebody may be asked about."""

    decision_id: str
    comment_id: str


@dataclass(frozen=True, slots=True)
class Pair:
    """What two moderators said of one comment.

    Attributes:
        comment_id, name, body: the comment's.
        decided, decided_by: what the first decided, and who that was.
        said, said_by: what the second said, and who that was.
        answered_at: when.
    """

    comment_id: str
    name: str
    body: str
    decided: Status
    decided_by: str
    said: Status
    said_by: str
    answered_at: datetime


def waiting(session: Session, site_id: str, share: float, actor: str) -> list[Question]:
    """Give what somebody can be asked about, newest first, of the newest 200 of the sample.

    Of near-duplicates one alone: they would be decided alike, and count as many.

    Args:
        session: for reading.
        site_id: whose.
        share: `Policy.second_looks`.
        actor: who is asked: never about what they decided on themselves.
    """
    if share <= 0:
        return []
    now = utc_now()
    own = aliased(DECISIONS)
    known = (
        select(own.c.id)
        .where(own.c.comment_id == DECISIONS.c.comment_id, own.c.actor == actor)
        .exists()
    )
    rows = session.execute(
        select(
            DECISIONS.c.id,
            DECISIONS.c.comment_id,
            func.coalesce(COMMENTS.c.campaign_id, COMMENTS.c.id).label("alike"),
            SECOND_LOOKS.c.decision_id.is_not(None).label("answered"),
            known.label("known"),
        )
        .join(
            COMMENTS,
            # The latest on its comment: what was undone, decided anew or edited is no longer asked.
            and_(COMMENTS.c.id == DECISIONS.c.comment_id, COMMENTS.c.decision_id == DECISIONS.c.id),
        )
        .outerjoin(SECOND_LOOKS, SECOND_LOOKS.c.decision_id == DECISIONS.c.id)
        .where(
            DECISIONS.c.site_id == site_id,
            forgetting.has_text(),
            _by_moderator(),
            DECISIONS.c.undoes.is_(None),
            DECISIONS.c.status.in_(ANSWERS),
            DECISIONS.c.decided_at.between(now - WITHIN, now - AFTER),
            _is_sampled(share),
        )
        .order_by(DECISIONS.c.decided_at.desc(), DECISIONS.c.id.desc())
        .limit(SAMPLE_MOST)
    ).all()
    done = {row.alike for row in rows if row.answered}
    found = []
    for row in rows:
        if row.alike not in done and not row.known:
            done.add(row.alike)
            found.append(Question(row.id, row.comment_id))
    return found


def answer(
    session: Session, site_id: str, share: float, decision_id: str, status: Status, actor: str
) -> bool:
    """Keep what somebody said of a comment they were asked about.

    Args:
        session: a transaction's.
        site_id: where.
        share: `Policy.second_looks`.
        decision_id: of the question.
        status: one of `ANSWERS`.
        actor: who says so.

    Returns:
        Whether it was kept; not if a colleague was faster, or the comment was decided anew.
    """
    asked = waiting(session, site_id, share, actor)
    if all(one.decision_id != decision_id for one in asked):
        return False
    connection = session.connection()
    made = connection.scalar(
        insert_into(connection, SECOND_LOOKS)
        .values(
            decision_id=decision_id,
            site_id=site_id,
            actor=actor,
            status=status,
            answered_at=utc_now(),
        )
        .on_conflict_do_nothing()
        .returning(SECOND_LOOKS.c.decision_id)
    )
    return made is not None


def withdraw(session: Session, site_id: str, decision_id: str, actor: str) -> None:
    """Take one's own answer back while it is fresh; the question can be asked again.

    Raises:
        NotFound: nobody of that name has answered it in the last ten minutes.
    """
    gone = session.connection().execute(
        delete(SECOND_LOOKS).where(
            SECOND_LOOKS.c.decision_id == decision_id,
            SECOND_LOOKS.c.site_id == site_id,
            SECOND_LOOKS.c.actor == actor,
            SECOND_LOOKS.c.answered_at > utc_now() - _WITHDRAW_FOR,
        )
    )
    if not gone.rowcount:
        raise NotFound("this answer can no longer be taken back")


def counts(session: Session, site_id: str) -> Counter[tuple[Status, Status]]:
    """Count what was decided and what was said of it, of the newest 1,000 answers.

    What became of the decision since does not matter: it may have been corrected because of
    the answer.
    """
    newest = _newest(site_id).subquery()
    rows = session.execute(
        select(DECISIONS.c.status, newest.c.status, func.count())
        .join(DECISIONS, DECISIONS.c.id == newest.c.decision_id)
        .group_by(DECISIONS.c.status, newest.c.status)
    )
    return Counter({(Status(row[0]), Status(row[1])): row[2] for row in rows})


def apart(session: Session, site_id: str) -> list[Pair]:
    """Give where two did not say the same, newest first, up to 50 of the newest 1,000 answers."""
    newest = _newest(site_id).subquery()
    return _pairs(
        session,
        _PAIR.join(newest, newest.c.decision_id == DECISIONS.c.id)
        .where(SECOND_LOOKS.c.status != DECISIONS.c.status)
        .order_by(SECOND_LOOKS.c.answered_at.desc())
        .limit(APART_MOST),
    )


def of_comment(session: Session, comment_id: str) -> list[Pair]:
    """Give what second moderators said of a comment, oldest first."""
    return _pairs(
        session,
        _PAIR.where(DECISIONS.c.comment_id == comment_id).order_by(SECOND_LOOKS.c.answered_at),
    )


def _by_moderator() -> ColumnElement[bool]:
    """The condition that a person decided on the dashboard, in the partial index's words."""
    policy = literal(POLICY_ACTOR, literal_execute=True)
    return and_(DECISIONS.c.actor != policy, DECISIONS.c.actor.startswith(_PERSON))


def _is_sampled(share: float) -> ColumnElement[bool]:
    most = round(share * 0x10000)
    return true() if most > 0xFFFF else func.substr(DECISIONS.c.id, _TAIL, 4) < f"{most:04x}"


def _newest(site_id: str) -> Any:
    return (
        select(SECOND_LOOKS.c.decision_id, SECOND_LOOKS.c.status)
        .where(SECOND_LOOKS.c.site_id == site_id)
        .order_by(SECOND_LOOKS.c.answered_at.desc())
        .limit(PAIRS_MOST)
    )


_PAIR = (
    select(
        DECISIONS.c.comment_id,
        COMMENTS.c.name,
        COMMENTS.c.body,
        DECISIONS.c.status.label("decided"),
        DECISIONS.c.actor.label("decided_by"),
        SECOND_LOOKS.c.status.label("said"),
        SECOND_LOOKS.c.actor.label("said_by"),
        SECOND_LOOKS.c.answered_at,
    )
    .select_from(SECOND_LOOKS)
    .join(DECISIONS, DECISIONS.c.id == SECOND_LOOKS.c.decision_id)
    .join(COMMENTS, COMMENTS.c.id == DECISIONS.c.comment_id)
)


def _pairs(session: Session, query: Any) -> list[Pair]:
    return [
        Pair(
            comment_id=row.comment_id,
            name=row.name,
            body=row.body,
            decided=Status(row.decided),
            decided_by=row.decided_by,
            said=Status(row.said),
            said_by=row.said_by,
            answered_at=row.answered_at,
        )
        for row in session.execute(query)
    ]
