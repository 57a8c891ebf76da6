"""Mails by which authors confirm their addresses, and who wants none."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

ID = sa.String(30).with_variant(sa.String(30, collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables, and the column that says whether a comment's author has asked."""
    op.create_table(
        "confirmations",
        sa.Column("id", ID, nullable=False),
        sa.Column(
            "site_id",
            ID,
            sa.ForeignKey("sites.id", name="fk_confirmations_site_id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column(
            "comment_id",
            ID,
            sa.ForeignKey("comments.id", name="fk_confirmations_comment_id", ondelete="SET NULL"),
        ),
        sa.Column("mailbox", sa.String(26), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("language", sa.String(20), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("send_at", TIME),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("sent_at", TIME),
        sa.Column("fault", sa.String(200)),
        sa.Column("confirmed_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_confirmations"),
        sa.UniqueConstraint("mailbox", "number", name="uq_confirmations_mailbox_number"),
    )
    op.create_index("ix_confirmations_site_id", "confirmations", ["site_id", "created_at"])
    op.create_index("ix_confirmations_comment_id", "confirmations", ["comment_id"])
    due = sa.text("send_at IS NOT NULL")
    op.create_index(
        "ix_confirmations_send_at",
        "confirmations",
        ["send_at"],
        sqlite_where=due,
        postgresql_where=due,
    )
    op.create_table(
        "silenced_mailboxes",
        sa.Column("mailbox", sa.String(26), nullable=False),
        sa.Column("silenced_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("mailbox", name="pk_silenced_mailboxes"),
    )
    op.add_column("comments", sa.Column("confirmation_asked_at", TIME))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("comments", "confirmation_asked_at")
    op.drop_table("silenced_mailboxes")
    op.drop_table("confirmations")
