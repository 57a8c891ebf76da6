"""What a second moderator says of a comment, blindly."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

ID = sa.String(30).with_variant(sa.String(30, collation="C"), "postgresql")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "second_looks",
        sa.Column(
            "decision_id",
            ID,
            sa.ForeignKey("decisions.id", name="fk_second_looks_decision_id", ondelete="CASCADE"),
        ),
        sa.Column("site_id", ID, nullable=False),
        sa.Column("actor", sa.String(60), nullable=False),
        sa.Column("status", sa.String(8), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("decision_id", name="pk_second_looks"),
        sa.CheckConstraint(
            "status IN ('approved', 'rejected', 'spam')", name="ck_second_looks_status"
        ),
    )
    op.create_index("ix_second_looks_site_id", "second_looks", ["site_id", "answered_at"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("second_looks")
