"""Objections: what readers report of a comment, and what its author says against its refusal."""

from datetime import datetime
from typing import cast

from sqlalchemy import ForeignKey, Index, String, Table, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from service.ledger.db import Base, UtcDateTime
from service.ledger.models.columns import Id, where


class Objection(Base):
    """A reader's report of a comment, or its author's appeal; open until a person decided.

    `source` tells readers apart and is `author` for an appeal; nobody objects twice to one text.
    `decision_id` is the decision that answered it.
    """

    __tablename__ = "objections"
    __table_args__ = (
        UniqueConstraint("comment_id", "comment_revision", "source"),
        Index("ix_objections_open", "site_id", "id", **where("decision_id IS NULL")),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    site_id: Mapped[str] = mapped_column(Id)  # as its comment's
    comment_id: Mapped[str] = mapped_column(Id, ForeignKey("comments.id", ondelete="CASCADE"))
    comment_revision: Mapped[int]
    source: Mapped[str] = mapped_column(String(40))
    reason: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    decision_id: Mapped[str | None] = mapped_column(Id)


OBJECTIONS = cast(Table, Objection.__table__)
