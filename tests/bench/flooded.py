"""A thread under a flood: fifty comments that readers see, among as much spam as years may bring.

Asked in this process, so that nothing is in the figures but the ledger and what turns its rows into
a page. What it took before the flood stands beside it: it should not depend on the spam.
"""

import statistics
import time
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import update

from service.base.jobs import Doorbell
from service.core import comments, reading, sites
from service.core.reading import Order
from service.ledger.db import Database
from service.ledger.models import COMMENTS
from service.pure.policy import Status
from tests.bench import dashboard, texts
from tests.bench.reading import publish
from tests.bench.servers import SITE, DatabaseKind, Stage
from tests.cast import PAGE, make_submission

_PUBLIC = 50
_SPAM = 50_000
_TIMES = 40
_AT_ONCE = 1_000
# Under this many seconds of load the row tries itself out with less spam.
_WHOLE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Flooded:
    """Reading a page of a thread that is nearly all spam."""

    kind: DatabaseKind
    table: str = "flooded"

    @property
    def name(self) -> str:
        """The row's name."""
        return f"flooded-{self.kind}"

    def measure(self, stage: Stage, seconds: float) -> dict[str, float]:
        """Read it 40 times before the flood and 40 times after.

        Returns:
            `calm_…` before, `flooded_…` after: ms to what a page is rendered from; `times`: the
            median after as a multiple of that before.
        """
        spam = max(_AT_ONCE, int(_SPAM * min(1.0, seconds / _WHOLE_SECONDS)))
        with stage.parts(self.kind, web=False) as here:
            publish(here, _PUBLIC)
            database = Database(here.settings, Doorbell(here.settings))
            try:
                calm = _read(database)
                _flood(database, spam)
                flooded = _read(database)
            finally:
                database.close()
        return {
            "spam": float(spam),
            **dashboard.percentiles("calm", calm),
            **dashboard.percentiles("flooded", flooded),
            "times": statistics.median(flooded) / statistics.median(calm),
        }


def _flood(database: Database, spam: int) -> None:
    with database.reading() as session:
        site = sites.find(session, SITE)
    coming = texts.generate(_PUBLIC, spam)
    while group := [
        make_submission(site, name=one.name, email=one.email, body=one.body)
        for one in islice(coming, _AT_ONCE)
    ]:
        with database.writing() as connection:
            comments.submit(connection, group)
    with database.writing() as connection:
        connection.execute(
            update(COMMENTS)
            .where(COMMENTS.c.status == Status.PENDING)
            .values(status=Status.SPAM, classify_at=None)
        )


def _read(database: Database) -> list[float]:
    """Give how long each time took, ms; the first, which fills caches, is not counted."""
    dashboard.settle(database)
    with database.reading() as session:
        site_id = sites.find(session, SITE).id
    took = []
    for _ in range(_TIMES + 1):
        began = time.perf_counter()
        with database.reading() as session:
            page = reading.page(session, reading.mark(session, site_id, PAGE), Order.OLDEST)
        took.append((time.perf_counter() - began) * 1e3)
        if len(page.comments) != _PUBLIC:
            raise RuntimeError(f"{len(page.comments)} comments were public")
    return took[1:]
