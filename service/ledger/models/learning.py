"""What moderators taught, which of it scores, and what was asked of it."""

from datetime import datetime
from typing import Any, cast

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Table, Text
from sqlalchemy.orm import Mapped, mapped_column

from service.ledger.db import Base, UtcDateTime
from service.ledger.models.columns import Id, Json, JsonOrNull
from service.pure.policy import Status


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
    answer: Mapped[dict[str, Any] | None] = mapped_column(JsonOrNull)
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


# For statements that bypass the ORM where every comment pays for it.
SHADOW_RULINGS = cast(Table, ShadowRuling.__table__)
