"""What a second moderator said, who was not told what the first had decided."""

from datetime import datetime
from typing import cast

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Table
from sqlalchemy.orm import Mapped, mapped_column

from service.ledger.db import Base, UtcDateTime
from service.ledger.models.columns import Id
from service.pure.policy import Status


class SecondLook(Base):
    """Another moderator's answer to what a decision was about; at most one for each decision."""

    __tablename__ = "second_looks"
    __table_args__ = (
        CheckConstraint("status IN ('approved', 'rejected', 'spam')", name="status"),
        Index("ix_second_looks_site_id", "site_id", "answered_at"),
    )

    decision_id: Mapped[str] = mapped_column(
        Id, ForeignKey("decisions.id", ondelete="CASCADE"), primary_key=True
    )
    site_id: Mapped[str] = mapped_column(Id)  # as its decision's
    actor: Mapped[str] = mapped_column(String(60))
    status: Mapped[Status] = mapped_column(String(8))
    answered_at: Mapped[datetime] = mapped_column(UtcDateTime)


SECOND_LOOKS = cast(Table, SecondLook.__table__)
