"""Threads, comments and the decisions on them."""

from datetime import datetime
from typing import Any, cast

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    FromClause,
    Index,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    literal,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from service.ledger.db import Base, UtcDateTime, first_id
from service.ledger.models.columns import Id, Json, partial, where
from service.pure.policy import Challenge, Status

POLICY_ACTOR = "policy"
AUTHOR_ACTOR = "author"
# What a person is asked about: pending, and looked at by the classifier as far as it could.
_QUEUED = "status = 'pending' AND queue_at IS NOT NULL"
_PUBLIC = "status = 'approved'"
_STATUSES = ", ".join(f"'{status}'" for status in Status)


class Thread(Base):
    """The discussion of one page; the id follows from site and page URL.

    `version` grows with every change of what is public in it, `approved` counts that; both are
    kept by `moderation.record`.
    """

    __tablename__ = "threads"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    site_id: Mapped[str] = mapped_column(Id, ForeignKey("sites.id", ondelete="CASCADE"), index=True)
    page_url: Mapped[str] = mapped_column(Text)
    page_title: Mapped[str | None] = mapped_column(String(300))
    closed: Mapped[bool] = mapped_column(server_default=text("false"))
    version: Mapped[int] = mapped_column(server_default=text("0"))
    approved: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class VerifiedAuthor(Base):
    """An e-mail address that its owner has proven to be theirs, on one site.

    `distrusted_at` is when a moderator took the trust away; as long as it stands, nothing that
    the author does brings it back.
    """

    __tablename__ = "verified_authors"

    site_id: Mapped[str] = mapped_column(
        Id, ForeignKey("sites.id", ondelete="CASCADE"), primary_key=True
    )
    email: Mapped[str] = mapped_column(String(254), primary_key=True)
    verified_at: Mapped[datetime] = mapped_column(UtcDateTime)
    distrusted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Comment(Base):
    """One message by one author on one thread.

    `version` grows with every change and is what a moderator sends back as `seen_version`;
    `revision` grows with the text alone. `classify_at` is when the comment is due for the
    classifier, `None` when it is not; a worker's claim moves it forward by the lease. `queue_at`
    is where it stands in the moderators' queue while it is pending (`moderation.queue_time`).
    `proven_at` is when the browser that sent it had proven the e-mail, `None` if it has not.
    """

    __tablename__ = "comments"
    __table_args__ = (
        CheckConstraint(f"status IN ({_STATUSES})", name="status"),
        partial("uq_comments_external_id", "site_id", "external_id", unique=True),
        partial("uq_comments_idempotency_key", "site_id", "idempotency_key", unique=True),
        partial("ix_comments_classify_at", "classify_at"),
        partial("ix_comments_parent_id", "parent_id"),
        Index("ix_comments_site_id_status", "site_id", "status", "id"),
        Index("ix_comments_site_id", "site_id", "id"),
        Index("ix_comments_thread_id", "thread_id", "id"),
        Index("ix_comments_public", "thread_id", "id", "parent_id", **where(_PUBLIC)),
        Index("ix_comments_site_id_email_status", "site_id", "email_normalised", "status"),
        Index(
            "ix_comments_campaign_id",
            *("campaign_id", "email_normalised", "thread_id"),
            **where("campaign_id IS NOT NULL"),
        ),
        Index(
            "ix_comments_queue_in_order",
            *("site_id", "queue_at", "id", "campaign_id"),
            **where(_QUEUED),
        ),
        Index(
            "ix_comments_queue_campaign",
            *("site_id", "campaign_id", "queue_at", "id"),
            **where(f"{_QUEUED} AND campaign_id IS NOT NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    site_id: Mapped[str] = mapped_column(Id)  # as its thread's
    thread_id: Mapped[str] = mapped_column(Id, ForeignKey("threads.id", ondelete="CASCADE"))
    parent_id: Mapped[str | None] = mapped_column(Id, ForeignKey("comments.id"))
    external_id: Mapped[str | None] = mapped_column(String(200))
    idempotency_key: Mapped[str | None] = mapped_column(String(300))
    request_digest: Mapped[str] = mapped_column(String(26))
    status: Mapped[Status] = mapped_column(String(8))
    version: Mapped[int]
    revision: Mapped[int]
    name: Mapped[str] = mapped_column(String(320))
    email: Mapped[str] = mapped_column(String(254))
    email_normalised: Mapped[str] = mapped_column(String(254))
    url: Mapped[str | None] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    address: Mapped[str | None] = mapped_column(String(45))
    user_agent: Mapped[str | None] = mapped_column(String(1000))
    referrer: Mapped[str | None] = mapped_column(Text)
    proven_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    honeypot_filled: Mapped[bool]
    disposable_email: Mapped[bool]
    challenge: Mapped[Challenge | None] = mapped_column(String(8))
    written_ms: Mapped[int | None]
    submitted_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    decision_id: Mapped[str | None] = mapped_column(Id)
    classify_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    classify_attempts: Mapped[int]
    campaign_id: Mapped[str | None] = mapped_column(Id)
    echoes: Mapped[int] = mapped_column(server_default=text("0"))
    queue_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    edited_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    appealed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    confirmation_asked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Decision(Base):
    """The recorded change of a comment's status; append-only."""

    __tablename__ = "decisions"
    __table_args__ = (
        UniqueConstraint("comment_id", "comment_version"),
        Index(
            "uq_decisions_automatic",
            "comment_id",
            "comment_revision",
            unique=True,
            **where(f"actor = '{POLICY_ACTOR}'"),
        ),
        Index("ix_decisions_human", "site_id", "decided_at", **where(f"actor <> '{POLICY_ACTOR}'")),
        Index("ix_decisions_site_id", "site_id", "id"),
        partial("ix_decisions_act_id", "act_id"),
        partial("uq_decisions_undoes", "undoes", unique=True),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    site_id: Mapped[str] = mapped_column(Id)  # as its comment's
    comment_id: Mapped[str] = mapped_column(Id, ForeignKey("comments.id", ondelete="CASCADE"))
    comment_version: Mapped[int]
    comment_revision: Mapped[int]
    old_status: Mapped[Status] = mapped_column(String(8))
    status: Mapped[Status] = mapped_column(String(8))
    actor: Mapped[str] = mapped_column(String(60))
    rule: Mapped[str | None] = mapped_column(String(40))
    reason: Mapped[str] = mapped_column(Text)
    score: Mapped[float | None]
    model_version: Mapped[str | None] = mapped_column(String(80))
    clues: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    decided_at: Mapped[datetime] = mapped_column(UtcDateTime)
    act_id: Mapped[str | None] = mapped_column(Id)
    undoes: Mapped[str | None] = mapped_column(Id)


# For statements that bypass the ORM where every comment pays for it.
THREADS = cast(Table, Thread.__table__)
VERIFIED_AUTHORS = cast(Table, VerifiedAuthor.__table__)
COMMENTS = cast(Table, Comment.__table__)
DECISIONS = cast(Table, Decision.__table__)
# What readers may see. It stands in the statement, or its partial index were not used once that is
# prepared.
IS_PUBLIC = COMMENTS.c.status == literal(Status.APPROVED.value, String(8), literal_execute=True)


def came_since(moment: datetime) -> ColumnElement[bool]:
    """The condition that a comment came in at a time or later.

    Ids sort by time, so it is a range of every index that ends in them, and what is older is not
    even looked at.
    """
    return COMMENTS.c.id >= first_id("cmt", moment)


def came_before(moment: datetime) -> ColumnElement[bool]:
    """The condition that a comment came in before a time; as `came_since`."""
    return COMMENTS.c.id < first_id("cmt", moment)


def is_automatic(decision: FromClause) -> ColumnElement[bool]:
    """The condition that a decision is the rules' own, on a comment's text as it stands.

    The actor stands in the statement, or its partial index were not used once it is prepared.
    """
    return and_(
        decision.c.comment_id == COMMENTS.c.id,
        decision.c.comment_revision == COMMENTS.c.revision,
        decision.c.actor == literal(POLICY_ACTOR, String(60), literal_execute=True),
    )
