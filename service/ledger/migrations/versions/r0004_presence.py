"""What moderators are looking at."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ID = sa.String(30).with_variant(sa.String(30, collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "presences",
        sa.Column(
            "moderator_id",
            ID,
            sa.ForeignKey("moderators.id", name="fk_presences_moderator_id", ondelete="CASCADE"),
        ),
        sa.Column(
            "site_id",
            ID,
            sa.ForeignKey("sites.id", name="fk_presences_site_id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("comment_id", ID, nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("moderator_id", name="pk_presences"),
    )
    op.create_index("ix_presences_site_id", "presences", ["site_id"])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("presences")
