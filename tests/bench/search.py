"""The search: pages of hits over a large ledger, for words as rare and as common as they come.

The ledger is the queue's: 100,000 comments on SQLite, 1,000,000 on PostgreSQL. They are entered
into the index of words as after an upgrade, which is timed as well.
"""

import time
from dataclasses import dataclass
from urllib.parse import urlencode

from sqlalchemy import func, insert, select, text, update

from service.base.jobs import Doorbell
from service.core import indexing
from service.ledger.db import Database
from service.ledger.models import COMMENTS, FILL
from tests.bench import dashboard
from tests.bench.servers import SITE, DatabaseKind, Installation, Stage
from workers import sweeper

_TIMES = 20
_SCARCE_EVERY = 20_000
_ASKED = {
    "rare": {"words": "zyzzyva"},
    "common": {"words": "bicycle"},
    "status": {"words": "bicycle", "status": "pending"},
    "apart": {"words": "zyzzyva bicycle the"},
    "none": {"words": "xylophonist"},
}


@dataclass(frozen=True, slots=True)
class Search:
    """A large ledger, one moderator who looks for something."""

    kind: DatabaseKind
    table: str = "search"

    @property
    def name(self) -> str:
        """The row's name."""
        return f"search-{self.kind}"

    def measure(self, stage: Stage, seconds: float) -> dict[str, float]:
        """Look for each of the words 20 times.

        Returns:
            `rare_…`, `common_…`, `status_…` (a common word among what is pending), `apart_…` (three
            words together), `none_…`: from the request to the whole answer; `entered_per_second`:
            comments entered into the index where nothing else is done.
        """
        count = dashboard.comments_count(self.kind, seconds)
        with stage.parts(self.kind) as here:
            cookie = dashboard.fill(here, count)
            entered = _enter(here, count)
            figures = {"comments": float(count), "entered_per_second": count / entered}
            for name, asked in _ASKED.items():
                figures |= dashboard.percentiles(name, _look(here, cookie, asked))
        return figures


def _enter(here: Installation, count: int) -> float:
    """Enter all comments into the index of words, and give how long it took, in seconds."""
    database = Database(here.settings, Doorbell(here.settings))
    rare = [f"cmt_{number:010}" for number in range(7, count, _SCARCE_EVERY)]
    with database.transaction() as session:
        session.execute(
            update(COMMENTS)
            .where(COMMENTS.c.id.in_(rare))
            .values(body=COMMENTS.c.body + " the zyzzyva rides a bicycle")
        )
        last = session.scalar(select(func.max(COMMENTS.c.id)))
        session.execute(insert(FILL).values(id=1, next_id=last))
    began = time.perf_counter()
    sweeper.fill_index(database, most_seconds=3600)
    took = time.perf_counter() - began
    with database.transaction() as session:
        if indexing.filled_to(session) is not None:
            raise RuntimeError("the index of words was not filled")
        session.execute(text("ANALYZE"))
    database.close()
    return took


def _look(here: Installation, cookie: str, asked: dict[str, str]) -> list[float]:
    """Give how long each page took, ms; the first request, which fills caches, is not counted."""
    path = f"/dashboard/sites/{SITE}/comments?{urlencode(asked)}"
    with dashboard.reader(here, cookie) as get:
        return [get(path)[1] for _ in range(_TIMES + 1)][1:]
