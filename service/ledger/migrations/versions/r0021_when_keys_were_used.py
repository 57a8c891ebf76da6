"""When each key was used, so that one can tell which are dead."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of what was before, nothing is known."""
    op.add_column("api_keys", sa.Column("used_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    """Drop it."""
    op.drop_column("api_keys", "used_at")
