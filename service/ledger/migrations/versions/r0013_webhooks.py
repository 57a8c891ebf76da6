"""Webhooks: endpoints, events, deliveries and their attempts."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

ID = sa.String(30).with_variant(sa.String(30, collation="C"), "postgresql")
NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
JSON = sa.JSON().with_variant(sa.dialects.postgresql.JSONB(), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "endpoints",
        sa.Column("id", ID, primary_key=True),
        sa.Column("site_id", ID, sa.ForeignKey("sites.id", ondelete="CASCADE"), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("description", sa.String(200), nullable=False),
        sa.Column("events", JSON, nullable=False),
        sa.Column("wants_personal", sa.Boolean, nullable=False),
        sa.Column("secret", sa.String(120), nullable=False),
        sa.Column("old_secret", sa.String(120)),
        sa.Column("old_secret_until", TIME),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("failing_since", TIME),
        sa.Column("is_full", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("disabled_at", TIME),
        sa.Column("disabled_reason", sa.String(200)),
    )
    op.create_index("ix_endpoints_site_id", "endpoints", ["site_id"])
    op.create_table(
        "events",
        sa.Column("number", NUMBER, primary_key=True),
        sa.Column("id", ID, nullable=False, unique=True),
        sa.Column("site_id", ID, sa.ForeignKey("sites.id", ondelete="CASCADE"), nullable=False),
        sa.Column("type", sa.String(60), nullable=False),
        sa.Column("comment_id", ID),
        sa.Column("decision_id", ID),
        sa.Column("data", sa.Text, nullable=False),
        sa.Column("personal", sa.Text),
        sa.Column("occurred_at", TIME, nullable=False),
    )
    op.create_index("ix_events_site_id", "events", ["site_id", "number"])
    _create_partial("ix_events_comment_id", "events", ["comment_id"])
    _create_partial("ix_events_decision_id", "events", ["decision_id"])
    op.create_table(
        "deliveries",
        sa.Column("id", ID, primary_key=True),
        sa.Column(
            "event_number",
            NUMBER,
            sa.ForeignKey("events.number", ondelete="CASCADE"),
            nullable=False,
        ),
        sa.Column(
            "endpoint_id", ID, sa.ForeignKey("endpoints.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("site_id", ID, nullable=False),
        sa.Column("comment_id", ID),
        sa.Column("is_personal", sa.Boolean, nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("reason", sa.String(200)),
        sa.Column("due_at", TIME),
        sa.Column("claimed_at", TIME),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("ended_at", TIME),
        sa.CheckConstraint("status IN ('waiting', 'delivered', 'dead', 'recalled')", name="status"),
        sa.UniqueConstraint("event_number", "endpoint_id"),
    )
    due = "due_at IS NOT NULL"
    _create_partial("ix_deliveries_due", "deliveries", ["endpoint_id", "due_at"], due)
    _create_partial("ix_deliveries_oldest", "deliveries", ["due_at"], due)
    _create_partial(
        "ix_deliveries_order", "deliveries", ["endpoint_id", "comment_id", "event_number"], due
    )
    op.create_index("ix_deliveries_endpoint_id", "deliveries", ["endpoint_id", "id"])
    op.create_index("ix_deliveries_site_id", "deliveries", ["site_id", "id"])
    op.create_index("ix_deliveries_site_id_status", "deliveries", ["site_id", "status", "id"])
    op.create_table(
        "attempts",
        sa.Column("id", ID, primary_key=True),
        sa.Column(
            "delivery_id", ID, sa.ForeignKey("deliveries.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("ended_at", TIME),
        sa.Column("duration_ms", sa.Integer),
        sa.Column("status", sa.Integer),
        sa.Column("failure", sa.String(40)),
        sa.Column("excerpt", sa.Text),
    )
    op.create_index("ix_attempts_delivery_id", "attempts", ["delivery_id", "id"])
    op.create_index("ix_attempts_started_at", "attempts", ["started_at"])


def downgrade() -> None:
    """Drop them."""
    for table in ("attempts", "deliveries", "events", "endpoints"):
        op.drop_table(table)


def _create_partial(name: str, table: str, columns: list[str], condition: str = "") -> None:
    """Index the rows of a condition, by default those whose last column is set."""
    where = sa.text(condition or f"{columns[-1]} IS NOT NULL")
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
