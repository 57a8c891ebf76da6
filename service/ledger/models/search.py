"""What comments are found by, and the filters that people keep.

Beside `search_entries` stands its index, which no model can say: on SQLite the FTS5 table
`search_words`, on PostgreSQL a GIN index (both in the migration). Triggers and foreign keys keep
them right: an entry goes with its comment, and with the text it was made from.
"""

from datetime import datetime
from typing import cast

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from service.ledger.db import Base, UtcDateTime
from service.ledger.models.columns import Id

FILTERS_MOST = 50


class SearchEntry(Base):
    """The terms of a decided comment (`terms.entry`); a comment that is due has none."""

    __tablename__ = "search_entries"

    number: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True
    )
    comment_id: Mapped[str] = mapped_column(
        Id, ForeignKey("comments.id", ondelete="CASCADE"), unique=True
    )
    words: Mapped[str] = mapped_column(Text)


class SearchFill(Base):
    """How far the entries of what was there before there were any are made; no row once all are.

    `next_id` is the next comment to be entered; older ones follow.
    """

    __tablename__ = "search_fill"
    __table_args__ = (CheckConstraint("id = 1", name="single"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    next_id: Mapped[str] = mapped_column(Id)


class SavedFilter(Base):
    """A view of a site's comments under a name, for all of its people; 50 at most."""

    __tablename__ = "saved_filters"
    __table_args__ = (
        CheckConstraint(f"place BETWEEN 1 AND {FILTERS_MOST}", name="place"),
        UniqueConstraint("site_id", "name"),
    )

    site_id: Mapped[str] = mapped_column(
        Id, ForeignKey("sites.id", ondelete="CASCADE"), primary_key=True
    )
    place: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(60))
    query: Mapped[str] = mapped_column(Text)
    made_by: Mapped[str] = mapped_column(String(60))
    made_at: Mapped[datetime] = mapped_column(UtcDateTime)


ENTRIES = cast(Table, SearchEntry.__table__)
FILL = cast(Table, SearchFill.__table__)
FILTERS = cast(Table, SavedFilter.__table__)
