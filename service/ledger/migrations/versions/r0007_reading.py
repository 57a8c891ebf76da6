"""What the public reads: how a thread stands, and when a comment was edited."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; count what is public in each thread."""
    for name in ("version", "approved"):
        op.add_column("threads", sa.Column(name, sa.Integer, nullable=False, server_default="0"))
    op.add_column("comments", sa.Column("edited_at", sa.DateTime(timezone=True)))
    op.execute(
        "UPDATE threads SET version = 1, approved = (SELECT count(*) FROM comments"
        " WHERE comments.thread_id = threads.id AND comments.status = 'approved')"
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_column("comments", "edited_at")
    op.drop_column("threads", "approved")
    op.drop_column("threads", "version")
