"""What became of the challenge of each comment's form, and how long that was open."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; nobody knows it of the comments that are there."""
    op.add_column("comments", sa.Column("challenge", sa.String(8)))
    op.add_column("comments", sa.Column("written_ms", sa.Integer))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("comments", "written_ms")
    op.drop_column("comments", "challenge")
