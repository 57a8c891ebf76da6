"""The shelf: the sites' layers that one process has read.

Apart from `versions`, so that who lists versions does not load a classifier.
"""

import logging
from collections import OrderedDict

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.judgement.versions import SHIPPED
from service.ledger.models import ModelVersion
from service.pure.scoring import Tuning

log = logging.getLogger(__name__)

_MOST = 100


class Shelf:
    """The layers that one process has read; a version never changes, so they stay good."""

    def __init__(self) -> None:
        self._tunings: OrderedDict[tuple[str, int], Tuning | None] = OrderedDict()

    def tuning(self, session: Session, site_id: str, number: int) -> Tuning | None:
        """Give a site's layer; `None` for the shipped model alone, or if it cannot be read."""
        if number == SHIPPED:
            return None
        key = (site_id, number)
        if key in self._tunings:
            self._tunings.move_to_end(key)
            return self._tunings[key]
        raw = session.scalar(
            select(ModelVersion.tuning).where(
                ModelVersion.site_id == site_id, ModelVersion.number == number
            )
        )
        try:
            tuning = None if raw is None else Tuning.from_bytes(bytes(raw))
        except ValueError as error:
            log.error("version %d of %s cannot be used: %s", number, site_id, error)
            tuning = None
        self._tunings[key] = tuning
        if len(self._tunings) > _MOST:
            self._tunings.popitem(last=False)
        return tuning
