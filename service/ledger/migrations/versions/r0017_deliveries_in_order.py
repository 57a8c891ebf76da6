"""Deliveries that became due at one moment are found in their order, without sorting them all."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Give the index of what is due the number of the event as well."""
    _make_anew(["endpoint_id", "due_at", "event_number"])


def downgrade() -> None:
    """Take it away."""
    _make_anew(["endpoint_id", "due_at"])


def _make_anew(columns: list[str]) -> None:
    where = sa.text("due_at IS NOT NULL")
    op.drop_index("ix_deliveries_due", "deliveries")
    op.create_index(
        "ix_deliveries_due", "deliveries", columns, sqlite_where=where, postgresql_where=where
    )
