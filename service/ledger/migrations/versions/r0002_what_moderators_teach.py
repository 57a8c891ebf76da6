"""What moderators teach, their queue, and taking back what was done in one go."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.String(30).with_variant(sa.String(30, collation="C"), "postgresql")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
TIME = sa.DateTime(timezone=True)
QUEUED = "status = 'pending' AND queue_at IS NOT NULL"


def upgrade() -> None:
    """Add what the learning loop keeps."""
    # Constant defaults only: PostgreSQL then adds a column without rewriting the table.
    op.add_column(
        "sites", sa.Column("model", sa.Integer, server_default=sa.text("0"), nullable=False)
    )
    op.add_column("sites", sa.Column("shadow", sa.Integer))
    op.add_column(
        "sites", sa.Column("promotes", sa.Boolean, server_default=sa.text("true"), nullable=False)
    )
    op.add_column("sites", sa.Column("thresholds", JSON))
    op.add_column("sites", sa.Column("learnt_at", TIME))
    op.add_column("comments", sa.Column("campaign_id", ID))
    op.add_column(
        "comments", sa.Column("echoes", sa.Integer, server_default=sa.text("0"), nullable=False)
    )
    _index(
        "ix_comments_campaign_id",
        "comments",
        ["campaign_id", "email_normalised", "thread_id"],
        "campaign_id IS NOT NULL",
    )
    op.add_column("comments", sa.Column("queue_at", TIME))
    op.execute(
        "UPDATE comments SET queue_at = created_at WHERE status = 'pending' AND classify_at IS NULL"
    )
    _index("ix_comments_queue", "comments", ["site_id", "queue_at", "id"], QUEUED)
    _index(
        "ix_comments_queue_campaign",
        "comments",
        ["site_id", "campaign_id", "queue_at", "id"],
        f"{QUEUED} AND campaign_id IS NOT NULL",
    )
    _index("ix_decisions_human", "decisions", ["site_id", "decided_at"], "actor <> 'policy'")
    op.add_column("decisions", sa.Column("act_id", ID))
    op.add_column("decisions", sa.Column("undoes", ID))
    _index("ix_decisions_act_id", "decisions", ["act_id"], "act_id IS NOT NULL")
    _index("uq_decisions_undoes", "decisions", ["undoes"], "undoes IS NOT NULL", unique=True)
    op.create_table(
        "campaigns",
        sa.Column("id", ID),
        sa.Column("mins", sa.LargeBinary, nullable=False),
        sa.Column("sources", sa.Integer, nullable=False),
        sa.Column("first_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_campaigns"),
    )
    op.create_table(
        "campaign_bands",
        sa.Column("band", sa.BigInteger, autoincrement=False),
        sa.Column(
            "campaign_id",
            ID,
            sa.ForeignKey("campaigns.id", name="fk_campaign_bands_campaign_id", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("band", name="pk_campaign_bands"),
    )
    op.create_index("ix_campaign_bands_campaign_id", "campaign_bands", ["campaign_id"])
    op.create_table(
        "model_versions",
        sa.Column("site_id", ID, _site("model_versions"), nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("base", sa.String(60), nullable=False),
        sa.Column("tuning", sa.LargeBinary, nullable=False),
        sa.Column("report", JSON, nullable=False),
        sa.Column("taught_until", TIME, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("site_id", "number", name="pk_model_versions"),
    )
    op.create_table(
        "model_changes",
        sa.Column("id", ID),
        sa.Column("site_id", ID, _site("model_changes"), nullable=False),
        sa.Column("old_number", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("actor", sa.String(60), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("is_rollback", sa.Boolean, nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_model_changes"),
    )
    op.create_index("ix_model_changes_site_id", "model_changes", ["site_id", "id"])
    op.create_table(
        "label_releases",
        sa.Column("id", ID),
        sa.Column("site_id", ID, _site("label_releases"), nullable=False),
        sa.Column("actor", sa.String(60), nullable=False),
        sa.Column("until", TIME, nullable=False),
        sa.Column("released_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_label_releases"),
    )
    op.create_index("ix_label_releases_site_id", "label_releases", ["site_id"])
    op.create_table(
        "previews",
        sa.Column("id", ID),
        sa.Column("site_id", ID, _site("previews"), nullable=False),
        sa.Column("policy", JSON, nullable=False),
        sa.Column("number", sa.Integer),
        sa.Column("answer", JSON),
        sa.Column("asked_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_previews"),
    )
    op.create_index("ix_previews_site_id", "previews", ["site_id"])
    op.create_table(
        "shadow_rulings",
        sa.Column(
            "comment_id",
            ID,
            sa.ForeignKey("comments.id", name="fk_shadow_rulings_comment_id", ondelete="CASCADE"),
        ),
        sa.Column("site_id", ID, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("score", sa.Double),
        sa.Column("status", sa.String(8), nullable=False),
        sa.Column("rule", sa.String(40), nullable=False),
        sa.PrimaryKeyConstraint("comment_id", name="pk_shadow_rulings"),
    )
    op.create_index("ix_shadow_rulings_site_id", "shadow_rulings", ["site_id", "number"])


def downgrade() -> None:
    """Forget what was taught; comments and decisions stay."""
    for table in (
        "previews",
        "shadow_rulings",
        "label_releases",
        "model_changes",
        "model_versions",
        "campaign_bands",
        "campaigns",
    ):
        op.drop_table(table)
    for index in ("uq_decisions_undoes", "ix_decisions_act_id", "ix_decisions_human"):
        op.drop_index(index, "decisions")
    for column in ("undoes", "act_id"):
        op.drop_column("decisions", column)
    for index in ("queue_campaign", "queue", "campaign_id"):
        op.drop_index(f"ix_comments_{index}", "comments")
    for column in ("queue_at", "echoes", "campaign_id"):
        op.drop_column("comments", column)
    for column in ("learnt_at", "thresholds", "promotes", "shadow", "model"):
        op.drop_column("sites", column)


def _index(
    name: str, table: str, columns: list[str], condition: str, *, unique: bool = False
) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, unique=unique, sqlite_where=where, postgresql_where=where)


def _site(table: str) -> sa.ForeignKey:
    return sa.ForeignKey("sites.id", name=f"fk_{table}_site_id", ondelete="CASCADE")
