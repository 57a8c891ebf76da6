"""Every table of the ledger, but for the people's (`service.moderators.tables`).

The one rule: what must never happen is forbidden here by a constraint, not only by code: two
decisions on the same version of a comment, two automatic ones on the same text, two comments
for one Idempotency-Key or one external id.
"""

from datetime import datetime
from typing import Any, cast

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    FromClause,
    Index,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from service.db import Base, UtcDateTime
from service.policy import Status

# Ids are compared byte by byte everywhere, so that keyset pages run alike on both databases.
Id = String(30).with_variant(String(30, collation="C"), "postgresql")
Json = JSON().with_variant(JSONB(), "postgresql")
JsonOrNull = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")

POLICY_ACTOR = "policy"
AUTHOR_ACTOR = "author"
# What a person is asked about: pending, and looked at by the classifier as far as it could.
_QUEUED = "status = 'pending' AND queue_at IS NOT NULL"
_STATUSES = ", ".join(f"'{status}'" for status in Status)


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def _partial(name: str, *columns: str, unique: bool = False) -> Index:
    """An index of the rows whose last column is set: most rows never cost it anything."""
    return Index(name, *columns, unique=unique, **_where(f"{columns[-1]} IS NOT NULL"))


class Site(Base):
    """A tenant: its keys, origins, policy and what its moderators have taught.

    `model` is the number of the version that scores its comments, 0 for the shipped model alone;
    `shadow` of one that scores beside it and decides nothing. `promotes` is whether training
    may change `model` by itself. `thresholds` were chosen for one version and one budget, which
    they name. `learnt_at` is the time of the newest label that training has seen.
    """

    __tablename__ = "sites"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    slug: Mapped[str] = mapped_column(String(63), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    origins: Mapped[list[str]] = mapped_column(Json)
    policy: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    model: Mapped[int] = mapped_column(server_default=text("0"))
    shadow: Mapped[int | None]
    promotes: Mapped[bool] = mapped_column(server_default=text("true"))
    thresholds: Mapped[dict[str, Any] | None] = mapped_column(JsonOrNull)
    learnt_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ApiKey(Base):
    """A program's key: only its hash is kept."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    site_id: Mapped[str] = mapped_column(Id, ForeignKey("sites.id", ondelete="CASCADE"), index=True)
    digest: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Thread(Base):
    """The discussion of one page; the id follows from site and page URL."""

    __tablename__ = "threads"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    site_id: Mapped[str] = mapped_column(Id, ForeignKey("sites.id", ondelete="CASCADE"), index=True)
    page_url: Mapped[str] = mapped_column(Text)
    page_title: Mapped[str | None] = mapped_column(String(300))
    closed: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class VerifiedAuthor(Base):
    """An e-mail address that its owner has proven to be theirs, on one site."""

    __tablename__ = "verified_authors"

    site_id: Mapped[str] = mapped_column(
        Id, ForeignKey("sites.id", ondelete="CASCADE"), primary_key=True
    )
    email: Mapped[str] = mapped_column(String(254), primary_key=True)
    verified_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Comment(Base):
    """One message by one author on one thread.

    `version` grows with every change and is what a moderator sends back as `seen_version`;
    `revision` grows with the text alone. `classify_at` is when the comment is due for the
    classifier, `None` when it is not; a worker's claim moves it forward by the lease. `queue_at`
    is where it stands in the moderators' queue while it is pending (`moderation.queue_time`).
    """

    __tablename__ = "comments"
    __table_args__ = (
        CheckConstraint(f"status IN ({_STATUSES})", name="status"),
        _partial("uq_comments_external_id", "site_id", "external_id", unique=True),
        _partial("uq_comments_idempotency_key", "site_id", "idempotency_key", unique=True),
        _partial("ix_comments_classify_at", "classify_at"),
        _partial("ix_comments_parent_id", "parent_id"),
        Index("ix_comments_site_id_status", "site_id", "status", "id"),
        Index("ix_comments_site_id", "site_id", "id"),
        Index("ix_comments_thread_id", "thread_id", "id"),
        Index("ix_comments_site_id_email", "site_id", "email_normalised"),
        Index(
            "ix_comments_campaign_id",
            *("campaign_id", "email_normalised", "thread_id"),
            **_where("campaign_id IS NOT NULL"),
        ),
        Index("ix_comments_queue", "site_id", "queue_at", "id", **_where(_QUEUED)),
        Index(
            "ix_comments_queue_campaign",
            *("site_id", "campaign_id", "queue_at", "id"),
            **_where(f"{_QUEUED} AND campaign_id IS NOT NULL"),
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
    honeypot_filled: Mapped[bool]
    disposable_email: Mapped[bool]
    submitted_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    decision_id: Mapped[str | None] = mapped_column(Id)
    classify_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    classify_attempts: Mapped[int]
    campaign_id: Mapped[str | None] = mapped_column(Id)
    echoes: Mapped[int] = mapped_column(server_default=text("0"))
    queue_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


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
            **_where(f"actor = '{POLICY_ACTOR}'"),
        ),
        Index(
            "ix_decisions_human", "site_id", "decided_at", **_where(f"actor <> '{POLICY_ACTOR}'")
        ),
        Index("ix_decisions_site_id", "site_id", "id"),
        _partial("ix_decisions_act_id", "act_id"),
        _partial("uq_decisions_undoes", "undoes", unique=True),
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


class SettingChange(Base):
    """The recorded change of one setting of a site; append-only."""

    __tablename__ = "setting_changes"
    __table_args__ = (Index("ix_setting_changes_site_id", "site_id", "id"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    site_id: Mapped[str] = mapped_column(Id, ForeignKey("sites.id", ondelete="CASCADE"))
    actor: Mapped[str] = mapped_column(String(60))
    setting: Mapped[str] = mapped_column(String(60))
    before: Mapped[Any] = mapped_column(Json, nullable=True)
    after: Mapped[Any] = mapped_column(Json, nullable=True)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Campaign(Base):
    """Comments that say nearly the same, whoever wrote them wherever.

    `mins` is the sketch of the first of them, with which later ones are compared; `sources`
    counts the distinct pairs of e-mail and thread they came from.
    """

    __tablename__ = "campaigns"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    mins: Mapped[bytes] = mapped_column(LargeBinary)
    sources: Mapped[int]
    first_at: Mapped[datetime] = mapped_column(UtcDateTime)


class CampaignBand(Base):
    """A key by which a campaign is found again; the first campaign to have a key keeps it."""

    __tablename__ = "campaign_bands"

    band: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    campaign_id: Mapped[str] = mapped_column(
        Id, ForeignKey("campaigns.id", ondelete="CASCADE"), index=True
    )


class ModelVersion(Base):
    """What a site's moderators had taught at one time, on top of one shipped model.

    Never changed and never deleted while the site lives; `report` says how it was judged.
    """

    __tablename__ = "model_versions"

    site_id: Mapped[str] = mapped_column(
        Id, ForeignKey("sites.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    base: Mapped[str] = mapped_column(String(60))
    tuning: Mapped[bytes] = mapped_column(LargeBinary)
    report: Mapped[dict[str, Any]] = mapped_column(Json)
    taught_until: Mapped[datetime] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ModelChange(Base):
    """The recorded change of a site's model: which came for which, who, why; append-only."""

    __tablename__ = "model_changes"
    __table_args__ = (Index("ix_model_changes_site_id", "site_id", "id"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    site_id: Mapped[str] = mapped_column(Id, ForeignKey("sites.id", ondelete="CASCADE"))
    old_number: Mapped[int]
    number: Mapped[int]
    actor: Mapped[str] = mapped_column(String(60))
    reason: Mapped[str] = mapped_column(Text)
    is_rollback: Mapped[bool]
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class LabelRelease(Base):
    """An operator's word that one actor's labels up to a time may be learnt from."""

    __tablename__ = "label_releases"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    site_id: Mapped[str] = mapped_column(Id, ForeignKey("sites.id", ondelete="CASCADE"), index=True)
    actor: Mapped[str] = mapped_column(String(60))
    until: Mapped[datetime] = mapped_column(UtcDateTime)
    released_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Preview(Base):
    """A question what another policy or model would do, and a worker's answer; kept for a day."""

    __tablename__ = "previews"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    site_id: Mapped[str] = mapped_column(Id, ForeignKey("sites.id", ondelete="CASCADE"), index=True)
    policy: Mapped[dict[str, Any]] = mapped_column(Json)
    number: Mapped[int | None]
    answer: Mapped[dict[str, Any] | None] = mapped_column(
        JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
    )
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ShadowRuling(Base):
    """What a shadow would have done to a comment; the newest only."""

    __tablename__ = "shadow_rulings"
    __table_args__ = (Index("ix_shadow_rulings_site_id", "site_id", "number"),)

    comment_id: Mapped[str] = mapped_column(
        Id, ForeignKey("comments.id", ondelete="CASCADE"), primary_key=True
    )
    site_id: Mapped[str] = mapped_column(Id)  # as its comment's
    number: Mapped[int]
    score: Mapped[float | None]
    status: Mapped[Status] = mapped_column(String(8))
    rule: Mapped[str] = mapped_column(String(40))


# The same tables for statements that bypass the ORM where every comment pays for it.
SITES = cast(Table, Site.__table__)
CAMPAIGNS = cast(Table, Campaign.__table__)
BANDS = cast(Table, CampaignBand.__table__)
SHADOW_RULINGS = cast(Table, ShadowRuling.__table__)
THREADS = cast(Table, Thread.__table__)
COMMENTS = cast(Table, Comment.__table__)
DECISIONS = cast(Table, Decision.__table__)


def is_automatic(decision: FromClause) -> ColumnElement[bool]:
    """The condition that a decision is the rules' own, on a comment's text as it stands."""
    return and_(
        decision.c.comment_id == COMMENTS.c.id,
        decision.c.comment_revision == COMMENTS.c.revision,
        decision.c.actor == POLICY_ACTOR,
    )
