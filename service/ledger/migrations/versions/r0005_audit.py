"""Changes of settings, and decisions in the order of their making."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ID = sa.String(30).with_variant(sa.String(30, collation="C"), "postgresql")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Make the table and the index."""
    op.create_index("ix_decisions_site_id", "decisions", ["site_id", "id"])
    op.create_table(
        "setting_changes",
        sa.Column("id", ID),
        sa.Column(
            "site_id",
            ID,
            sa.ForeignKey("sites.id", name="fk_setting_changes_site_id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("actor", sa.String(60), nullable=False),
        sa.Column("setting", sa.String(60), nullable=False),
        sa.Column("before", JSON),
        sa.Column("after", JSON),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_setting_changes"),
    )
    op.create_index("ix_setting_changes_site_id", "setting_changes", ["site_id", "id"])


def downgrade() -> None:
    """Drop both."""
    op.drop_table("setting_changes")
    op.drop_index("ix_decisions_site_id", "decisions")
