"""Sites, their keys, and the record of what was set."""

from datetime import datetime
from typing import Any, cast

from sqlalchemy import ForeignKey, Index, String, Table, text
from sqlalchemy.orm import Mapped, mapped_column

from service.ledger.db import Base, UtcDateTime
from service.ledger.models.columns import Id, Json, JsonOrNull


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
    """A program's key: only its hash is kept. `used_at` may be an hour behind."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    site_id: Mapped[str] = mapped_column(Id, ForeignKey("sites.id", ondelete="CASCADE"), index=True)
    digest: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[list[str]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


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


# For statements that bypass the ORM where every comment pays for it.
SITES = cast(Table, Site.__table__)
