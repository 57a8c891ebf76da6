"""A ledger of ten million: what moderators and readers ask of it, beside one of ten thousand.

Every 25th comment waits for a person, held by the classifier; a tenth of those say nearly the
same; each page has fifty, which came in one by one among those of all other pages. Asked in this
process, so that nothing is in the figures but the ledger and what turns its rows into ours.
"""

import itertools
import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg.types.json import Json
from sqlalchemy import event

from service.base.jobs import Doorbell
from service.core import comments, moderation, queue, reading, sites
from service.core.moderation import Ballot
from service.core.reading import Order
from service.ledger.db import Database
from service.pure.policy import Status
from tests.bench import dashboard, texts
from tests.bench.servers import SITE, Installation, Stage

_SMALL, _LARGE = 10_000, 10_000_000
# Under this many seconds of load the row tries itself out with a smaller ledger.
_WHOLE_SECONDS = 3.0
_ON_A_PAGE = 50
_TIMES = 200
_PAGES_KNOWN = 20
_BODIES = 2_000

_TABLES = """
CREATE TEMP TABLE pages (n int PRIMARY KEY, id text, url text);
CREATE TEMP TABLE bodies (n int PRIMARY KEY, body text);
"""
_THREADS = """
INSERT INTO threads (id, site_id, page_url, closed, created_at, version, approved)
SELECT id, %(site)s, url, false, now(), 1, 48 FROM pages
"""
# The columns and their shares are those of `tests.bench.dashboard`. Pages and bodies are looked up
# and not joined, so that the rows lie in the ledger in the order in which they came.
_COMMENTS = """
INSERT INTO comments (
  id, site_id, thread_id, request_digest, status, version, revision, name, email,
  email_normalised, body, honeypot_filled, disposable_email, submitted_at, created_at,
  classify_attempts, campaign_id, echoes, queue_at)
SELECT 'cmt_' || lpad(i::text, 10, '0'), %(site)s,
  -- Else all that wait were on a few.
  (SELECT id FROM pages WHERE n = (i + i / %(pages)s) %% %(pages)s), '',
  CASE WHEN i %% 25 = 0 THEN 'pending' ELSE 'approved' END, 2, 1, 'Author ' || i %% 9973,
  'author' || i %% 9973 || '@example.org', 'author' || i %% 9973 || '@example.org',
  (SELECT body FROM bodies WHERE n = i %% %(bodies)s),
  false, false, moment, moment, 1,
  CASE WHEN i %% 25 = 0 AND i < %(count)s / 10 THEN 'cmp_1' END, 0,
  CASE WHEN i %% 25 = 0 THEN moment END
FROM generate_series(0, %(count)s - 1) AS i
CROSS JOIN LATERAL (SELECT now() - make_interval(secs => %(count)s - i) AS moment) AS times
"""
_DECISIONS = """
INSERT INTO decisions (
  id, site_id, comment_id, comment_version, comment_revision, old_status, status, actor, rule,
  reason, score, model_version, clues, decided_at)
SELECT 'dec_' || substr(id, 5), site_id, id, 1, 1, 'pending', 'pending', 'policy', 'hold_score',
  'spam score above 0.5: may be spam', 0.6, 'bench', %(clues)s, created_at
FROM comments WHERE status = 'pending' ORDER BY id
"""
_CLUES = [{"label": f"“phrase number {n}”", "weight": 0.5, "kind": "words"} for n in range(8)]


@dataclass(frozen=True, slots=True)
class Large:
    """Two ledgers on PostgreSQL; measured only if it is named: it takes 15 GB and its time."""

    name: str = "large-postgresql"
    table: str = "large"

    def measure(self, stage: Stage, seconds: float) -> dict[str, float]:
        """Ask each ledger each thing 200 times, warm.

        Returns:
            `…_p50_ms`, `…_p95_ms` of the larger one, in the ledger: from sending a statement to
            its answer, summed over all that one thing asks; `…_whole_p50_ms` with our own part,
            and for a decision with its commit; `…_times`: the median in the ledger as a multiple
            of the smaller one's.
        """
        share = min(1.0, seconds / _WHOLE_SECONDS)
        times_each = max(_PAGES_KNOWN, int(_TIMES * share))
        small = _measure(stage, _SMALL, times_each)
        count = max(2 * _SMALL, int(_LARGE * share))
        large = _measure(stage, count, times_each)
        times = {
            f"{name}_times": large[f"{name}_p50_ms"] / small[f"{name}_p50_ms"]
            for name in ("queue", "decision", "thread")
        }
        return {"comments": float(count), **large, **times}


def _measure(stage: Stage, count: int, times_each: int) -> dict[str, float]:
    with stage.parts("postgresql", web=False) as here:
        site_id = _fill(here, count)
        database = Database(here.settings, Doorbell(here.settings))
        try:
            figures: dict[str, float] = {}
            for name, ask in (
                ("queue", _queue(database, site_id)),
                ("thread", _thread(database, site_id, count // _ON_A_PAGE)),
                ("decision", _decision(database, site_id)),
            ):
                figures |= _timed(name, database, ask, times_each)
            return figures
        finally:
            database.close()


def _fill(here: Installation, count: int) -> str:
    """Put comments into the ledger, by its own server, and give the site's id."""
    with here.ledger() as session:
        site_id = sites.find(session, SITE).id
    pages = count // _ON_A_PAGE
    given = {"site": site_id, "count": count, "pages": pages, "bodies": _BODIES}
    with psycopg.connect(here.settings.database_url, autocommit=True) as connection:
        connection.execute(_TABLES)
        with connection.cursor().copy("COPY pages FROM STDIN") as copy:
            for number in range(pages):
                url = _url(number)
                copy.write_row((number, comments.thread_id(site_id, url), url))
        with connection.cursor().copy("COPY bodies FROM STDIN") as copy:
            for number, one in enumerate(texts.generate(0, _BODIES)):
                copy.write_row((number, one.body))
        connection.execute(_THREADS, given)
        connection.execute("INSERT INTO campaigns (id, mins, sources, first_at)"
                           " VALUES ('cmp_1', '', 1, now())")  # fmt: skip
        # Sorted at the end they take a tenth of what it takes to enter row by row.
        indexes = connection.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'comments'"
            " AND indexname NOT LIKE 'pk_%'"
        ).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        connection.execute(_COMMENTS, given)
        for _, definition in indexes:
            connection.execute(definition)
        connection.execute(_DECISIONS, {"clues": Json(_CLUES)})
        connection.execute("VACUUM ANALYZE")  # as autovacuum leaves a ledger that grew
    return site_id


def _url(number: int) -> str:
    return f"https://blog.example.org/posts/{number}"


def _queue(database: Database, site_id: str) -> Callable[[], None]:
    """Page through the queue, from the beginning again at its end."""
    place: list[queue.Cursor | None] = [None]

    def ask() -> None:
        with database.reading() as session:
            rows = queue.page(session, site_id, after=place[0])
            queue.count(session, site_id)
        if not rows:
            raise RuntimeError("nothing waits")
        place[0] = (rows[-1].queue_at, rows[-1].id) if len(rows) == 25 else None

    return ask


def _thread(database: Database, site_id: str, pages: int) -> Callable[[], None]:
    """Read threads, each of which was read before."""
    known = random.Random(pages).sample(range(pages), _PAGES_KNOWN)
    turns = itertools.cycle(known)

    def ask() -> None:
        with database.reading() as session:
            mark = reading.mark(session, site_id, _url(next(turns)))
            shown = reading.page(session, mark, Order.OLDEST)
        if len(shown.comments) < _ON_A_PAGE // 2:
            raise RuntimeError("a thread was not there")

    return ask


def _decision(database: Database, site_id: str) -> Callable[[], None]:
    """Decide, one after another, what waits."""
    with database.reading() as session:
        waiting: list[str] = []
        after: queue.Cursor | None = None
        while len(waiting) < _TIMES + _PAGES_KNOWN:
            rows = queue.page(session, site_id, after=after)
            waiting += [row.id for row in rows if row.campaign_id is None]
            after = (rows[-1].queue_at, rows[-1].id)

    def ask() -> None:
        ballot = Ballot(
            comment_id=waiting.pop(),
            seen_version=2,
            status=Status.APPROVED,
            actor="moderator:bench",
            reason="",
        )
        with database.transaction() as session:
            (recorded,) = moderation.record(session, [ballot], site_id=site_id)
        if isinstance(recorded, Exception):
            raise recorded

    return ask


def _timed(
    name: str, database: Database, ask: Callable[[], None], times_each: int
) -> dict[str, float]:
    whole, inside = [], []
    with _statements(database) as spent:
        for number in range(_PAGES_KNOWN + times_each):
            spent.clear()
            began = time.perf_counter()
            ask()
            if number >= _PAGES_KNOWN:
                whole.append((time.perf_counter() - began) * 1e3)
                inside.append(sum(spent) * 1e3)
    figures = dashboard.percentiles(name, inside)
    return figures | {f"{name}_whole_p50_ms": statistics.median(whole)}


@contextmanager
def _statements(database: Database) -> Iterator[list[float]]:
    """Give a list of how long each statement took, in seconds, as they are executed."""
    spent: list[float] = []
    began: list[float] = []

    def before(*_: object) -> None:
        began.append(time.perf_counter())

    def after(*_: object) -> None:
        spent.append(time.perf_counter() - began.pop())

    event.listen(database.engine, "before_cursor_execute", before)
    event.listen(database.engine, "after_cursor_execute", after)
    yield spent
    event.remove(database.engine, "before_cursor_execute", before)
    event.remove(database.engine, "after_cursor_execute", after)
