"""Confirmations: mails that ask whether an address is the author's, and who wants none of them."""

from datetime import datetime
from typing import cast

from sqlalchemy import ForeignKey, Index, String, Table, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from service.ledger.db import Base, UtcDateTime
from service.ledger.models.columns import Id, partial


class Confirmation(Base):
    """One mail that an author asked for, and what became of it.

    It holds no address: that is its comment's, and goes with it. `mailbox` is a digest by which
    mails to one person are counted, `number` how many there were; two at once cannot both be the
    next. `send_at` is when it is due, and lease at once, as `classify_at` of a comment is; `None`
    when it was sent or given up, and `fault` says why it was not sent yet, or never.
    """

    __tablename__ = "confirmations"
    __table_args__ = (
        UniqueConstraint("mailbox", "number"),
        Index("ix_confirmations_site_id", "site_id", "created_at"),
        Index("ix_confirmations_comment_id", "comment_id"),
        partial("ix_confirmations_send_at", "send_at"),
    )

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    site_id: Mapped[str] = mapped_column(Id, ForeignKey("sites.id", ondelete="CASCADE"))
    comment_id: Mapped[str | None] = mapped_column(
        Id, ForeignKey("comments.id", ondelete="SET NULL")
    )
    mailbox: Mapped[str] = mapped_column(String(26))
    number: Mapped[int]
    language: Mapped[str] = mapped_column(String(20))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    send_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    attempts: Mapped[int]
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    fault: Mapped[str | None] = mapped_column(String(200))
    confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SilencedMailbox(Base):
    """A person who wants no mail from this installation, by the digest of their mailbox."""

    __tablename__ = "silenced_mailboxes"

    mailbox: Mapped[str] = mapped_column(String(26), primary_key=True)
    silenced_at: Mapped[datetime] = mapped_column(UtcDateTime)


CONFIRMATIONS = cast(Table, Confirmation.__table__)
SILENCED_MAILBOXES = cast(Table, SilencedMailbox.__table__)
