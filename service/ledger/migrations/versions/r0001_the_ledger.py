"""Sites, keys, threads, comments and decisions."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.String(30).with_variant(sa.String(30, collation="C"), "postgresql")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "sites",
        sa.Column("id", ID),
        sa.Column("slug", sa.String(63), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("origins", JSON, nullable=False),
        sa.Column("policy", JSON, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sites"),
        sa.UniqueConstraint("slug", name="uq_sites_slug"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", ID),
        sa.Column("site_id", ID, _site("api_keys"), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("scopes", JSON, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("revoked_at", TIME),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
    )
    op.create_index("ix_api_keys_site_id", "api_keys", ["site_id"])
    op.create_table(
        "threads",
        sa.Column("id", ID),
        sa.Column("site_id", ID, _site("threads"), nullable=False),
        sa.Column("page_url", sa.Text, nullable=False),
        sa.Column("page_title", sa.String(300)),
        sa.Column("closed", sa.Boolean, server_default=sa.text("false"), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_threads"),
    )
    op.create_index("ix_threads_site_id", "threads", ["site_id"])
    op.create_table(
        "verified_authors",
        sa.Column("site_id", ID, _site("verified_authors"), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("verified_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("site_id", "email", name="pk_verified_authors"),
    )
    op.create_table(
        "comments",
        sa.Column("id", ID),
        sa.Column("site_id", ID, nullable=False),
        sa.Column(
            "thread_id",
            ID,
            sa.ForeignKey("threads.id", name="fk_comments_thread_id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("parent_id", ID, sa.ForeignKey("comments.id", name="fk_comments_parent_id")),
        sa.Column("external_id", sa.String(200)),
        sa.Column("idempotency_key", sa.String(300)),
        sa.Column("request_digest", sa.String(26), nullable=False),
        sa.Column("status", sa.String(8), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("name", sa.String(320), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("email_normalised", sa.String(254), nullable=False),
        sa.Column("url", sa.Text),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("address", sa.String(45)),
        sa.Column("user_agent", sa.String(1000)),
        sa.Column("referrer", sa.Text),
        sa.Column("honeypot_filled", sa.Boolean, nullable=False),
        sa.Column("disposable_email", sa.Boolean, nullable=False),
        sa.Column("submitted_at", TIME, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("decision_id", ID),
        sa.Column("classify_at", TIME),
        sa.Column("classify_attempts", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_comments"),
        sa.CheckConstraint(
            "status IN ('pending', 'approved', 'rejected', 'spam', 'deleted')",
            name="ck_comments_status",
        ),
    )
    for columns, unique in (
        (["site_id", "external_id"], True),
        (["site_id", "idempotency_key"], True),
        (["classify_at"], False),
        (["parent_id"], False),
    ):
        condition = sa.text(f"{columns[-1]} IS NOT NULL")
        op.create_index(
            f"{'uq' if unique else 'ix'}_comments_{columns[-1]}",
            "comments",
            columns,
            unique=unique,
            sqlite_where=condition,
            postgresql_where=condition,
        )
    op.create_index("ix_comments_site_id_status", "comments", ["site_id", "status", "id"])
    op.create_index("ix_comments_site_id", "comments", ["site_id", "id"])
    op.create_index("ix_comments_thread_id", "comments", ["thread_id", "id"])
    op.create_index("ix_comments_site_id_email", "comments", ["site_id", "email_normalised"])
    op.create_table(
        "decisions",
        sa.Column("id", ID),
        sa.Column("site_id", ID, nullable=False),
        sa.Column(
            "comment_id",
            ID,
            sa.ForeignKey("comments.id", name="fk_decisions_comment_id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column("comment_version", sa.Integer, nullable=False),
        sa.Column("comment_revision", sa.Integer, nullable=False),
        sa.Column("old_status", sa.String(8), nullable=False),
        sa.Column("status", sa.String(8), nullable=False),
        sa.Column("actor", sa.String(60), nullable=False),
        sa.Column("rule", sa.String(40)),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("score", sa.Double),
        sa.Column("model_version", sa.String(80)),
        sa.Column("clues", JSON, nullable=False),
        sa.Column("decided_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_decisions"),
        sa.UniqueConstraint(
            "comment_id", "comment_version", name="uq_decisions_comment_id_comment_version"
        ),
    )
    op.create_index(
        "uq_decisions_automatic",
        "decisions",
        ["comment_id", "comment_revision"],
        unique=True,
        sqlite_where=sa.text("actor = 'policy'"),
        postgresql_where=sa.text("actor = 'policy'"),
    )


def downgrade() -> None:
    """Drop the tables."""
    for table in ("decisions", "comments", "verified_authors", "threads", "api_keys", "sites"):
        op.drop_table(table)


def _site(table: str) -> sa.ForeignKey:
    return sa.ForeignKey("sites.id", name=f"fk_{table}_site_id", ondelete="CASCADE")
