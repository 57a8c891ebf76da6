"""Kinds of columns and indexes that several tables have."""

from typing import Any

from sqlalchemy import JSON, Index, String, text
from sqlalchemy.dialects.postgresql import JSONB

# Ids are compared byte by byte everywhere, so that keyset pages run alike on both databases.
Id = String(30).with_variant(String(30, collation="C"), "postgresql")
Json = JSON().with_variant(JSONB(), "postgresql")
JsonOrNull = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def where(condition: str) -> dict[str, Any]:
    """Give an index's arguments that limit it to the rows of a condition, on both databases."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def partial(name: str, *columns: str, unique: bool = False) -> Index:
    """An index of the rows whose last column is set: most rows never cost it anything."""
    return Index(name, *columns, unique=unique, **where(f"{columns[-1]} IS NOT NULL"))
