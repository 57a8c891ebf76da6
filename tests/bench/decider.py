"""One worker process as the RQ worker forks it, with the model loaded; see `decisions`."""

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select

from service.base import config, logs
from service.base.jobs import Doorbell
from service.base.supervision import settle
from service.ledger.db import Database
from service.ledger.models import COMMENTS
from service.pure.scoring import Content, Scorer
from tests.bench.child import answer
from workers import classification


def main() -> None:
    """Score or drain, as ordered, until the parent closes standard input."""
    settings = config.from_environ(os.environ)
    logs.configure(settings)
    scorer = Scorer(settings.model)
    scorer.score([classification.WARM_UP])
    database = Database(settings, Doorbell(settings))
    with database.reading() as session:
        rows = session.execute(
            select(
                COMMENTS.c.body, COMMENTS.c.name, COMMENTS.c.url, COMMENTS.c.email_normalised
            ).order_by(COMMENTS.c.id)
        ).all()
    contents = [
        Content(body=row[0], author_name=row[1], author_url=row[2] or "", email=row[3])
        for row in rows
    ]
    batches = [
        contents[first : first + settings.classify_batch]
        for first in range(0, len(contents), settings.classify_batch)
    ]
    settle()

    def score() -> int:
        return sum(len(scorer.score(batch)) for batch in batches)

    def drain() -> int:
        # What a worker says is written, and read by nobody.
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
            return classification.drain(database, scorer, settings)

    def handle(order: dict[str, Any]) -> Mapping[str, Any]:
        cpu, begin = time.process_time(), time.perf_counter()
        count = {"score": score, "drain": drain}[order["do"]]()
        return {
            "count": count,
            "elapsed_seconds": time.perf_counter() - begin,
            "cpu_seconds": time.process_time() - cpu,
        }

    answer(handle)


if __name__ == "__main__":
    main()
