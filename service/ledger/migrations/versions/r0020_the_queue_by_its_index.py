"""The queue is walked past campaigns in its index, without a look at each of their members."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_NEW, _OLD = "ix_comments_queue_in_order", "ix_comments_queue"
_COLUMNS = ["site_id", "queue_at", "id", "campaign_id"]
_WAITS = "status = 'pending' AND queue_at IS NOT NULL"
# Built ahead of the migration, while comments are written, on a ledger that has the columns:
# since which revision, and on what (`service.operations.schema`).
AHEAD = {_NEW: ("0002", f"comments ({', '.join(_COLUMNS)}) WHERE {_WAITS}")}


def upgrade() -> None:
    """Put the wider index in the place of the one there was."""
    _make(_NEW, _COLUMNS, if_not_exists=True)
    op.drop_index(_OLD, "comments")


def downgrade() -> None:
    """Put it back."""
    _make(_OLD, _COLUMNS[:3], if_not_exists=False)
    op.drop_index(_NEW, "comments")


def _make(name: str, columns: list[str], *, if_not_exists: bool) -> None:
    where = sa.text(_WAITS)
    op.create_index(
        name,
        "comments",
        columns,
        sqlite_where=where,
        postgresql_where=where,
        if_not_exists=if_not_exists,
    )
