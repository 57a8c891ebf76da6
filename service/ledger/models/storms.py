"""Storms: when so much came at once that a person looks first."""

from datetime import datetime
from typing import Any, cast

from sqlalchemy import ForeignKey, Index, String, Table
from sqlalchemy.orm import Mapped, mapped_column

from service.ledger.db import Base, UtcDateTime
from service.ledger.models.columns import Id, Json, where


class Storm(Base):
    """A time in which a site's comments wait for a person; at most one is open on a site.

    `evidence` is what was seen at its beginning, as `core.storms.Evidence`; empty for one that a
    person declared.
    """

    __tablename__ = "storms"
    __table_args__ = (
        Index("uq_storms_open", "site_id", unique=True, **where("ended_at IS NULL")),
        Index("ix_storms_site_id", "site_id", "id"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    site_id: Mapped[str] = mapped_column(Id, ForeignKey("sites.id", ondelete="CASCADE"))
    evidence: Mapped[dict[str, Any]] = mapped_column(Json)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_by: Mapped[str] = mapped_column(String(60))
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_by: Mapped[str | None] = mapped_column(String(60))


# For statements that bypass the ORM where every comment pays for it.
STORMS = cast(Table, Storm.__table__)
