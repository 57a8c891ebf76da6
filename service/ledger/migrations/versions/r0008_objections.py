"""What readers report, and what authors appeal against."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

ID = sa.String(30).with_variant(sa.String(30, collation="C"), "postgresql")


def upgrade() -> None:
    """Create the table, and the column that says whether an author has appealed."""
    op.create_table(
        "objections",
        sa.Column("id", ID, primary_key=True),
        sa.Column("site_id", ID, nullable=False),
        sa.Column(
            "comment_id",
            ID,
            sa.ForeignKey("comments.id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("comment_revision", sa.Integer, nullable=False),
        sa.Column("source", sa.String(40), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decision_id", ID),
        sa.UniqueConstraint("comment_id", "comment_revision", "source"),
    )
    still_open = sa.text("decision_id IS NULL")
    op.create_index(
        "ix_objections_open",
        "objections",
        ["site_id", "id"],
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
    op.add_column("comments", sa.Column("appealed_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("comments", "appealed_at")
    op.drop_table("objections")
