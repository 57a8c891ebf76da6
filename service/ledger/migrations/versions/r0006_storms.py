"""Storms: when so much came at once that a person looks first."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

ID = sa.String(30).with_variant(sa.String(30, collation="C"), "postgresql")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
TIME = sa.DateTime(timezone=True)
_OPEN = sa.text("ended_at IS NULL")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "storms",
        sa.Column("id", ID),
        sa.Column(
            "site_id",
            ID,
            sa.ForeignKey("sites.id", name="fk_storms_site_id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("evidence", JSON, nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("started_by", sa.String(60), nullable=False),
        sa.Column("ended_at", TIME),
        sa.Column("ended_by", sa.String(60)),
        sa.PrimaryKeyConstraint("id", name="pk_storms"),
    )
    op.create_index("ix_storms_site_id", "storms", ["site_id", "id"])
    op.create_index(
        "uq_storms_open",
        "storms",
        ["site_id"],
        unique=True,
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("storms")
