"""Near-duplicates and how they are found again."""

from datetime import datetime
from typing import cast

from sqlalchemy import BigInteger, LargeBinary, Table
from sqlalchemy.orm import Mapped, mapped_column

from service.ledger.db import Base, UtcDateTime
from service.ledger.models.columns import Id


class Campaign(Base):
    """Comments that say nearly the same, whoever wrote them wherever.

    `mins` is the sketch of the first of them, with which later ones are compared; `sources`
    counts the distinct pairs of e-mail and thread they came from.
    """

    __tablename__ = "campaigns"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    mins: Mapped[bytes] = mapped_column(LargeBinary)
    sources: Mapped[int]
    first_at: Mapped[datetime] = mapped_column(UtcDateTime)


class CampaignBand(Base):
    """A key by which a campaign is found again; the first campaign to have a key keeps it.

    There are six for each comment, so nothing but the key is kept in order or checked: it follows
    from the campaign's `mins`, and goes with it (`campaigns.forget`).
    """

    __tablename__ = "campaign_bands"

    band: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    campaign_id: Mapped[str] = mapped_column(Id)


# For statements that bypass the ORM where every comment pays for it.
CAMPAIGNS = cast(Table, Campaign.__table__)
BANDS = cast(Table, CampaignBand.__table__)
