"""How far the walks of `service.operations.retention` came."""

from datetime import datetime
from typing import cast

from sqlalchemy import String, Table
from sqlalchemy.orm import Mapped, mapped_column

from service.ledger.db import Base, UtcDateTime
from service.ledger.models.columns import Id


class RetentionMark(Base):
    """One walk: `reached` is the last id it passed, `began_at` when it began at the beginning."""

    __tablename__ = "retention_marks"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    reached: Mapped[str] = mapped_column(Id)
    began_at: Mapped[datetime] = mapped_column(UtcDateTime)


RETENTION_MARKS = cast(Table, RetentionMark.__table__)
