"""A thread is read by an index of what is public in it, however much spam it has."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_NEW = "ix_comments_public"
_COLUMNS = ["thread_id", "id", "parent_id"]
_IS_PUBLIC = "status = 'approved'"
# Built ahead of the migration, while comments are written, on a ledger that has the columns:
# since which revision, and on what (`service.operations.schema`).
AHEAD = {_NEW: ("0001", f"comments ({', '.join(_COLUMNS)}) WHERE {_IS_PUBLIC}")}


def upgrade() -> None:
    """Make the index."""
    where = sa.text(_IS_PUBLIC)
    op.create_index(
        _NEW,
        "comments",
        _COLUMNS,
        sqlite_where=where,
        postgresql_where=where,
        if_not_exists=True,
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_index(_NEW, "comments")
