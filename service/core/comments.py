"""Comments: taking them in, reading them.

The one rule: `submit` returns only what is committed. Everything it checks against the ledger,
it checks inside the transaction that stores the comment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, bindparam, or_, select
from sqlalchemy.orm import Session

from service.base.errors import (
    Closed,
    Duplicate,
    FieldError,
    HamgateError,
    Invalid,
    KeyReused,
    NotFound,
)
from service.base.jobs import Job
from service.core.webhooks import outbox
from service.ledger.bulk import inserting
from service.ledger.db import db_now, insert_into, new_id, ring_after, utc_now
from service.ledger.models import COMMENTS, IS_PUBLIC, THREADS, Comment, Thread
from service.pure import text
from service.pure.policy import Challenge, Status

PAGE_MOST = 100


@dataclass(frozen=True, slots=True)
class Submission:
    """A valid comment about to be stored.

    Attributes:
        site_id: where it goes.
        page_url: in the form of `text.page_url`.
        email: as written; `email_normalised` is what is compared.
        idempotency_key: the caller's, made unique per caller; `None` without one.
        address: the author's IP address, not the key holder's.
        proven_at: when the browser that sends it had proven the e-mail; `None` if it has not.
        challenge: what became of the form's; `None` of a program with a key.
        written_ms: how long the form was open, if its challenge says so.
    """

    site_id: str
    page_url: str
    name: str
    email: str
    email_normalised: str
    body: str
    page_title: str | None = None
    url: str | None = None
    parent_id: str | None = None
    external_id: str | None = None
    idempotency_key: str | None = None
    address: str | None = None
    user_agent: str | None = None
    referrer: str | None = None
    submitted_at: datetime | None = None
    honeypot_filled: bool = False
    disposable_email: bool = False
    proven_at: datetime | None = None
    challenge: Challenge | None = None
    written_ms: int | None = None

    @property
    def thread_id(self) -> str:
        """Id of the page's thread; follows from site and page, so no look-up is needed."""
        return thread_id(self.site_id, self.page_url)

    @property
    def digest(self) -> str:
        """What makes two requests the same request."""
        return text.digest(
            *(
                "" if part is None else str(part)
                for part in (
                    self.page_url, self.name, self.email, self.body, self.page_title, self.url,
                    self.parent_id, self.external_id, self.submitted_at,
                )
            )
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Accepted:
    """A stored comment's id and status; `repeated` if an earlier request stored it."""

    id: str
    status: Status
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class CommentView:
    """A comment as a value, with its page."""

    id: str
    site_id: str
    page_url: str
    page_title: str | None
    parent_id: str | None
    external_id: str | None
    status: Status
    version: int
    name: str
    email: str
    email_normalised: str
    url: str | None
    body: str
    address: str | None
    user_agent: str | None
    referrer: str | None
    honeypot_filled: bool
    disposable_email: bool
    proven_at: datetime | None
    challenge: str | None
    written_ms: int | None
    submitted_at: datetime
    created_at: datetime
    decision_id: str | None
    edited_at: datetime | None
    appealed_at: datetime | None
    confirmation_asked_at: datetime | None


def thread_id(site_id: str, page_url: str) -> str:
    """Give the id of a page's thread."""
    return f"thr_{text.digest(site_id, page_url)}"


def submit(
    connection: Connection, submissions: Sequence[Submission]
) -> Sequence[Accepted | HamgateError]:
    """Store comments; each is accepted or refused by itself.

    Args:
        connection: a transaction's; nothing is accepted before it is committed.
        submissions: those that arrived together.

    Returns:
        For each, in order: `Accepted`, or `Closed`, `Invalid` (no such parent), `Duplicate`
        (external id taken by other content), `KeyReused` (Idempotency-Key, likewise).
    """
    closed = _ensure_threads(connection, submissions)
    parents = _parents(connection, submissions)
    outcome: list[Accepted | HamgateError | None] = []
    fresh: dict[str, tuple[int, Submission]] = {}
    for number, submission in enumerate(submissions):
        refusal = _refusal(submission, closed, parents)
        outcome.append(refusal)
        if refusal is None:
            fresh[new_id("cmt")] = (number, submission)
    stored = _insert(connection, {key: submission for key, (_, submission) in fresh.items()})
    for key, (number, submission) in fresh.items():
        outcome[number] = (
            Accepted(key, Status.PENDING) if key in stored else _repeat(connection, submission)
        )
    if stored:
        outbox.submitted(connection, {key: fresh[key][1].site_id for key in stored}, utc_now())
        ring_after(connection, Job.CLASSIFY)
    return [entry for entry in outcome if entry is not None]


def get(session: Session, comment_id: str, *, site_id: str | None = None) -> CommentView:
    """Give one comment; of this site only, if one is given.

    Raises:
        NotFound: there is none.
    """
    query = _VIEW.where(Comment.id == comment_id)
    if site_id is not None:
        query = query.where(Comment.site_id == site_id)
    row = session.execute(query).first()
    if row is None:
        raise NotFound("there is no such comment")
    return _view(row)


def listing(
    session: Session,
    site_id: str,
    *,
    status: Status | None = None,
    page_url: str | None = None,
    before: str | None = None,
    most: int = 50,
) -> list[CommentView]:
    """Give a site's comments, newest first.

    Args:
        session: for reading.
        site_id: whose.
        status: only these.
        page_url: only of this page, in the form of `text.page_url`.
        before: only those older than the comment with this id; the last one of a page is the
            cursor to the next.
        most: 1-100.
    """
    conditions: list[ColumnElement[bool]] = [Comment.site_id == site_id]
    if page_url is not None:
        conditions = [Comment.thread_id == thread_id(site_id, page_url)]
    if status is not None:
        conditions.append(IS_PUBLIC if status is Status.APPROVED else Comment.status == status)
    if before is not None:
        conditions.append(Comment.id < before)
    query = _VIEW.where(and_(*conditions)).order_by(Comment.id.desc()).limit(min(most, PAGE_MOST))
    return [_view(row) for row in session.execute(query)]


_VIEW = select(
    Comment.id, Comment.site_id, Thread.page_url, Thread.page_title, Comment.parent_id,
    Comment.external_id, Comment.status, Comment.version, Comment.name, Comment.email,
    Comment.email_normalised, Comment.url, Comment.body, Comment.address, Comment.user_agent,
    Comment.referrer, Comment.honeypot_filled, Comment.disposable_email, Comment.proven_at,
    Comment.challenge, Comment.written_ms,
    Comment.submitted_at, Comment.created_at, Comment.decision_id, Comment.edited_at,
    Comment.appealed_at, Comment.confirmation_asked_at,
).join(Thread, Thread.id == Comment.thread_id)  # fmt: skip


def _view(row: Row[*tuple[Any, ...]]) -> CommentView:
    values = dict(row._mapping)
    values["status"] = Status(values["status"])
    return CommentView(**values)


# Built once, as what is asked with each group that comes in.
_INSERT = inserting(
    COMMENTS,
    "id", "site_id", "thread_id", "parent_id", "external_id", "idempotency_key",
    "request_digest", "status", "version", "revision", "name", "email",
    "email_normalised", "url", "body", "address", "user_agent", "referrer",
    "honeypot_filled", "disposable_email", "proven_at", "challenge", "written_ms",
    "submitted_at", "created_at", "classify_attempts",
    also={"classify_at": db_now()},
)  # fmt: skip
_KNOWN_THREADS = select(THREADS.c.id, THREADS.c.closed).where(
    THREADS.c.id.in_(bindparam("ids", expanding=True))
)


def _ensure_threads(connection: Connection, submissions: Sequence[Submission]) -> set[str]:
    """Make the threads that are missing and give the ids of the closed ones."""
    wanted = {submission.thread_id: submission for submission in submissions}
    rows = connection.execute(_KNOWN_THREADS, {"ids": list(wanted)})
    known: dict[str, bool] = {row[0]: row[1] for row in rows}
    missing = sorted(wanted.keys() - known.keys())
    if missing:
        _insert_ignoring(
            connection,
            THREADS,
            [
                {
                    "id": key,
                    "site_id": wanted[key].site_id,
                    "page_url": wanted[key].page_url,
                    "page_title": wanted[key].page_title,
                    "created_at": utc_now(),
                }
                for key in missing
            ],
        )
    return {key for key, closed in known.items() if closed}


def _parents(connection: Connection, submissions: Sequence[Submission]) -> dict[str, str]:
    """Give the thread of each parent that can be replied to."""
    wanted = {s.parent_id for s in submissions if s.parent_id is not None}
    if not wanted:
        return {}
    rows = connection.execute(
        select(Comment.id, Comment.thread_id).where(
            Comment.id.in_(wanted), Comment.status != Status.DELETED
        )
    )
    return {row[0]: row[1] for row in rows}


def _refusal(
    submission: Submission, closed: set[str], parents: dict[str, str]
) -> HamgateError | None:
    if submission.thread_id in closed:
        return Closed("this page takes no more comments")
    parent_id = submission.parent_id
    if parent_id is not None and parents.get(parent_id) != submission.thread_id:
        return Invalid([FieldError("/parent_id", "there is no such comment on this page")])
    return None


def _insert(connection: Connection, fresh: dict[str, Submission]) -> set[str]:
    """Insert comments and give the ids of those that no earlier request had stored."""
    # In the order of what makes them unique: two processes that insert the same keys then wait
    # for each other in one direction only and cannot deadlock.
    ordered = sorted(fresh.items(), key=lambda item: _unique_by(item[1]))
    now = utc_now()
    rows = [
        {
            "id": key,
            "site_id": s.site_id,
            "thread_id": s.thread_id,
            "parent_id": s.parent_id,
            "external_id": s.external_id,
            "idempotency_key": s.idempotency_key,
            "request_digest": s.digest,
            "status": Status.PENDING,
            "version": 1,
            "revision": 1,
            "name": s.name,
            "email": s.email,
            "email_normalised": s.email_normalised,
            "url": s.url,
            "body": s.body,
            "address": s.address,
            "user_agent": s.user_agent,
            "referrer": s.referrer,
            "honeypot_filled": s.honeypot_filled,
            "disposable_email": s.disposable_email,
            "proven_at": s.proven_at,
            "challenge": s.challenge,
            "written_ms": s.written_ms,
            "submitted_at": s.submitted_at or now,
            "created_at": now,
            "classify_attempts": 0,
        }
        for key, s in ordered
    ]
    if any(_unique_by(s) != ("", "") for s in fresh.values()):
        return _insert_ignoring(connection, COMMENTS, rows)
    _INSERT(connection, rows)
    return set(fresh)


def _unique_by(submission: Submission) -> tuple[str, str]:
    return submission.idempotency_key or "", submission.external_id or ""


def _insert_ignoring(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> set[str]:
    """Insert what does not conflict, and give its ids."""
    if not rows:
        return set()
    statement = insert_into(connection, table).on_conflict_do_nothing()
    if table is COMMENTS:
        statement = statement.values(classify_at=db_now())
    return set(connection.scalars(statement.returning(table.c.id), rows))


def _repeat(connection: Connection, submission: Submission) -> Accepted | HamgateError:
    """Answer a submission whose Idempotency-Key or external id an earlier one has taken."""
    matches: list[ColumnElement[bool]] = []
    if submission.idempotency_key is not None:
        matches.append(Comment.idempotency_key == submission.idempotency_key)
    if submission.external_id is not None:
        matches.append(Comment.external_id == submission.external_id)
    rows = connection.execute(
        select(Comment.id, Comment.status, Comment.request_digest, Comment.idempotency_key).where(
            Comment.site_id == submission.site_id, or_(*matches)
        )
    ).all()
    if not rows:
        raise AssertionError("an insert was ignored without a conflict")
    # Each may have been taken by another comment; then the Idempotency-Key is what answers.
    key = submission.idempotency_key
    row = next((row for row in rows if key is not None and row.idempotency_key == key), rows[0])
    if row.request_digest == submission.digest:
        return Accepted(row.id, Status(row.status), repeated=True)
    if key is not None and row.idempotency_key == key:
        return KeyReused("this Idempotency-Key was used with another body")
    return Duplicate(f"{submission.external_id} is the external id of {row.id}, which differs")
