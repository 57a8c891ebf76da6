"""The tables of people and sign-in.

The one rule: no row holds anything with which one could sign in.
"""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from service.ledger.db import Base, UtcDateTime
from service.ledger.models import Id


class Moderator(Base):
    """A person who may decide on comments.

    `email_key` is the folded address, by which people are told apart; `password` an argon2id
    hash, `None` until one was chosen. A removed one keeps the row, which decisions name.
    """

    __tablename__ = "moderators"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    email: Mapped[str] = mapped_column(String(254))
    email_key: Mapped[str] = mapped_column(String(254), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    password: Mapped[str | None] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    signed_in_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Membership(Base):
    """What a moderator may do on one site."""

    __tablename__ = "memberships"
    __table_args__ = (CheckConstraint("role IN ('owner', 'moderator', 'viewer')", name="role"),)

    moderator_id: Mapped[str] = mapped_column(
        Id, ForeignKey("moderators.id", ondelete="CASCADE"), primary_key=True
    )
    site_id: Mapped[str] = mapped_column(
        Id, ForeignKey("sites.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    role: Mapped[str] = mapped_column(String(9))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class SignedIn(Base):
    """A browser in which a moderator has signed in: only the hash of its cookie is kept."""

    __tablename__ = "sessions"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    moderator_id: Mapped[str] = mapped_column(
        Id, ForeignKey("moderators.id", ondelete="CASCADE"), index=True
    )
    user_agent: Mapped[str | None] = mapped_column(String(300))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)


class OneTimeLink(Base):
    """A link that works once: only its hash is kept. `site_id` and `role` are an invitation's."""

    __tablename__ = "one_time_links"
    __table_args__ = (
        CheckConstraint("purpose IN ('first', 'invitation', 'reset')", name="purpose"),
    )

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(10))
    moderator_id: Mapped[str] = mapped_column(
        Id, ForeignKey("moderators.id", ondelete="CASCADE"), index=True
    )
    site_id: Mapped[str | None] = mapped_column(
        Id, ForeignKey("sites.id", ondelete="CASCADE"), index=True
    )
    role: Mapped[str | None] = mapped_column(String(9))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Identity(Base):
    """Whom an OpenID provider means by `subject`: one account, which has one of each provider."""

    __tablename__ = "identities"
    __table_args__ = (UniqueConstraint("moderator_id", "issuer"),)

    issuer: Mapped[str] = mapped_column(String(500), primary_key=True)
    subject: Mapped[str] = mapped_column(String(255), primary_key=True)
    moderator_id: Mapped[str] = mapped_column(Id, ForeignKey("moderators.id", ondelete="CASCADE"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class UsedState(Base):
    """A way to the provider and back that was gone once; kept as long as its cookie is good."""

    __tablename__ = "used_states"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class SignInAttempts(Base):
    """How often sign-in failed for one account, address or device, and when it may go on."""

    __tablename__ = "sign_in_attempts"

    subject: Mapped[str] = mapped_column(String(64), primary_key=True)
    failures: Mapped[int]
    open_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class Presence(Base):
    """The comment a moderator looked at last; one row for each moderator."""

    __tablename__ = "presences"

    moderator_id: Mapped[str] = mapped_column(
        Id, ForeignKey("moderators.id", ondelete="CASCADE"), primary_key=True
    )
    site_id: Mapped[str] = mapped_column(Id, ForeignKey("sites.id", ondelete="CASCADE"), index=True)
    comment_id: Mapped[str] = mapped_column(Id)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
