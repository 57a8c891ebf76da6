"""Moderators: who they are, what they may do where, and how they sign in."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.String(30).with_variant(sa.String(30, collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the tables of people and sign-in."""
    op.create_table(
        "moderators",
        sa.Column("id", ID),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("email_key", sa.String(254), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("password", sa.String(200)),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("signed_in_at", TIME),
        sa.Column("disabled_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_moderators"),
        sa.UniqueConstraint("email_key", name="uq_moderators_email_key"),
    )
    op.create_table(
        "memberships",
        sa.Column("moderator_id", ID, _to("memberships", "moderator"), nullable=False),
        sa.Column("site_id", ID, _to("memberships", "site"), nullable=False),
        sa.Column("role", sa.String(9), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("moderator_id", "site_id", name="pk_memberships"),
        sa.CheckConstraint("role IN ('owner', 'moderator', 'viewer')", name="ck_memberships_role"),
    )
    op.create_index("ix_memberships_site_id", "memberships", ["site_id"])
    op.create_table(
        "sessions",
        sa.Column("id", ID),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("moderator_id", ID, _to("sessions", "moderator"), nullable=False),
        sa.Column("user_agent", sa.String(300)),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("seen_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        sa.UniqueConstraint("digest", name="uq_sessions_digest"),
    )
    op.create_index("ix_sessions_moderator_id", "sessions", ["moderator_id"])
    op.create_table(
        "one_time_links",
        sa.Column("digest", sa.String(64)),
        sa.Column("purpose", sa.String(10), nullable=False),
        sa.Column("moderator_id", ID, _to("one_time_links", "moderator"), nullable=False),
        sa.Column("site_id", ID, _to("one_time_links", "site")),
        sa.Column("role", sa.String(9)),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_one_time_links"),
        sa.CheckConstraint(
            "purpose IN ('first', 'invitation', 'reset')", name="ck_one_time_links_purpose"
        ),
    )
    op.create_index("ix_one_time_links_moderator_id", "one_time_links", ["moderator_id"])
    op.create_index("ix_one_time_links_site_id", "one_time_links", ["site_id"])
    op.create_table(
        "sign_in_attempts",
        sa.Column("subject", sa.String(64)),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("open_at", TIME, nullable=False),
        sa.Column("last_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("subject", name="pk_sign_in_attempts"),
    )
    op.create_index("ix_sign_in_attempts_last_at", "sign_in_attempts", ["last_at"])


def downgrade() -> None:
    """Forget the people; what they decided stays."""
    for table in ("sign_in_attempts", "one_time_links", "sessions", "memberships", "moderators"):
        op.drop_table(table)


def _to(table: str, parent: str) -> sa.ForeignKey:
    return sa.ForeignKey(f"{parent}s.id", name=f"fk_{table}_{parent}_id", ondelete="CASCADE")
