"""Trust in an author needs proof from the browser that writes, and moderators can take it away."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add when a comment's browser had proven the e-mail, and when an author lost trust."""
    op.add_column("comments", sa.Column("proven_at", TIME))
    op.add_column("verified_authors", sa.Column("distrusted_at", TIME))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("verified_authors", "distrusted_at")
    op.drop_column("comments", "proven_at")
