"""How far retention has come; what is there already is passed by the sweeper, little by little."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

ID = sa.String(30).with_variant(sa.String(30, collation="C"), "postgresql")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "retention_marks",
        sa.Column("name", sa.String(40)),
        sa.Column("reached", ID, nullable=False),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_retention_marks"),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("retention_marks")
