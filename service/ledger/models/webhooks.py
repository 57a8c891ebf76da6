"""Webhooks: where sites want to be told, what happened, and what became of telling it."""

from datetime import datetime
from enum import StrEnum
from typing import cast

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from service.ledger.db import Base, UtcDateTime
from service.ledger.models.columns import Id, Json, partial, where

Number = BigInteger().with_variant(Integer, "sqlite")


class DeliveryStatus(StrEnum):
    """What became of a delivery: due or to be due again, or one of three ends."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"
    RECALLED = "recalled"


_STATUSES = ", ".join(f"'{status}'" for status in DeliveryStatus)


class Endpoint(Base):
    """A URL of a site's that is told of events.

    `events` are the types it wants, none for all. `old_secret` signs beside `secret` until
    `old_secret_until`. `failing_since` is when attempts began to fail without one between that
    did not. `is_full` while too much waits: what is new is then dead at once, to be replayed.
    """

    __tablename__ = "endpoints"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    site_id: Mapped[str] = mapped_column(Id, ForeignKey("sites.id", ondelete="CASCADE"), index=True)
    url: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(String(200))
    events: Mapped[list[str]] = mapped_column(Json)
    wants_personal: Mapped[bool]
    secret: Mapped[str] = mapped_column(String(120))
    old_secret: Mapped[str | None] = mapped_column(String(120))
    old_secret_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    failing_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    is_full: Mapped[bool] = mapped_column(server_default=text("false"))
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    disabled_reason: Mapped[str | None] = mapped_column(String(200))


class Event(Base):
    """A fact, kept where an endpoint of the site wanted to know; append-only.

    `number` is its `sequence`. `data` is what everybody may be told, `personal` what only those
    may who asked and are allowed to (`pure.events`). `decision_id` is of the decision that it
    tells of.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_site_id", "site_id", "number"),
        partial("ix_events_comment_id", "comment_id"),
        partial("ix_events_decision_id", "decision_id"),
    )

    number: Mapped[int] = mapped_column(Number, primary_key=True)
    id: Mapped[str] = mapped_column(Id, unique=True)
    site_id: Mapped[str] = mapped_column(Id, ForeignKey("sites.id", ondelete="CASCADE"))
    type: Mapped[str] = mapped_column(String(60))
    comment_id: Mapped[str | None] = mapped_column(Id)
    decision_id: Mapped[str | None] = mapped_column(Id)
    data: Mapped[str] = mapped_column(Text)
    personal: Mapped[str | None] = mapped_column(Text)
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Delivery(Base):
    """One event to one endpoint.

    `due_at` is when the next attempt is due; a claim moves it forward by the lease, an end clears
    it. `claimed_at` is set while an attempt is under way. `is_personal` is whether what is
    personal is told, settled when the delivery was made, so that each attempt sends the same.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        CheckConstraint(f"status IN ({_STATUSES})", name="status"),
        UniqueConstraint("event_number", "endpoint_id"),
        Index(
            "ix_deliveries_due",
            *("endpoint_id", "due_at", "event_number"),
            **where("due_at IS NOT NULL"),
        ),
        Index("ix_deliveries_oldest", "due_at", **where("due_at IS NOT NULL")),
        Index(
            "ix_deliveries_order",
            *("endpoint_id", "comment_id", "event_number"),
            **where("due_at IS NOT NULL"),
        ),
        Index("ix_deliveries_endpoint_id", "endpoint_id", "id"),
        Index("ix_deliveries_site_id", "site_id", "id"),
        Index("ix_deliveries_site_id_status", "site_id", "status", "id"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    event_number: Mapped[int] = mapped_column(
        Number, ForeignKey("events.number", ondelete="CASCADE")
    )
    endpoint_id: Mapped[str] = mapped_column(Id, ForeignKey("endpoints.id", ondelete="CASCADE"))
    site_id: Mapped[str] = mapped_column(Id)  # as its event's
    comment_id: Mapped[str | None] = mapped_column(Id)  # as its event's
    is_personal: Mapped[bool]
    status: Mapped[DeliveryStatus] = mapped_column(String(10))
    reason: Mapped[str | None] = mapped_column(String(200))
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    claimed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Attempt(Base):
    """One HTTP try of a delivery; without `ended_at` it is under way, or was cut off.

    `status` is the answer's, `failure` says in one word why there was none.
    """

    __tablename__ = "attempts"
    __table_args__ = (
        Index("ix_attempts_delivery_id", "delivery_id", "id"),
        Index("ix_attempts_started_at", "started_at"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    delivery_id: Mapped[str] = mapped_column(Id, ForeignKey("deliveries.id", ondelete="CASCADE"))
    number: Mapped[int]
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    duration_ms: Mapped[int | None]
    status: Mapped[int | None]
    failure: Mapped[str | None] = mapped_column(String(40))
    excerpt: Mapped[str | None] = mapped_column(Text)


ENDPOINTS = cast(Table, Endpoint.__table__)
EVENTS = cast(Table, Event.__table__)
DELIVERIES = cast(Table, Delivery.__table__)
ATTEMPTS = cast(Table, Attempt.__table__)
