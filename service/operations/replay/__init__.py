"""`hamgate replay`: posts a file of comments through the running server, as a site would.

The one rule: nothing is taken by a side door. The comments go in over HTTP with a key, and what
became of them is read over HTTP; only the key is made, and revoked, in the ledger.
"""

import contextlib
import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console

from service.base import loopback
from service.base.config import Settings
from service.base.errors import ConfigError, HamgateError, NotFound
from service.base.jobs import Doorbell
from service.core import sites, storms
from service.core.changes import OPERATOR
from service.core.sites import Scope
from service.ledger.db import Database
from service.operations.replay import report, rows
from service.operations.replay.outcomes import Outcomes
from service.operations.replay.posting import Posting
from service.operations.replay.progress import Progress, progress

_SCOPES = {Scope.SUBMIT, Scope.MODERATE}
# Longer than everything that ends by itself: a lease and three strikes, a restart of a worker.
_PATIENCE_SECONDS = 60.0
_INTERRUPTED = 130  # 128 + SIGINT, as shells say it


def run(
    settings: Settings, file: Path, slug: str, limit: int | None = None, *, as_json: bool = False
) -> int:
    """Post the rows of a file, wait until they are decided, and print a report.

    Args:
        settings: whose server and ledger.
        file: UTF-8 CSV with a column `text`; see `service.operations.replay.rows`.
        slug: the site to post to; the comments stay there.
        limit: how many rows at most, from the top.
        as_json: print the report as one JSON object.

    Returns:
        The exit code: 0 if every accepted comment was decided, 1 if some were not or none was
        accepted, 130 after Ctrl-C.

    Raises:
        rows.BadFileError: there is nothing in the file to post.
        NotFound: there is no such site.
        loopback.NotRunning: no server runs, or it went away for good.
        ConfigError: the server uses another ledger than these settings.
    """
    wanted = rows.read(file, limit)
    database = Database(settings, Doorbell(settings))
    try:
        with _key(database, slug) as key, _terminable():
            headers = {"Authorization": f"Bearer {key}"}
            _check_server(settings, slug, headers)
            result = _replay(settings, slug, headers, wanted)
    except KeyboardInterrupt:
        click.echo("stopped; what was posted stays, the key is revoked", err=True)
        return _INTERRUPTED
    finally:
        database.close()
    if as_json:
        click.echo(json.dumps({"file": file.name, "site": slug, **result.as_dict()}, indent=2))
    else:
        report.show(result, Console(), f"{file.name} → {slug}")
    if result.undecided:
        click.echo(
            f"{result.undecided} are not decided, {_PATIENCE_SECONDS:.0f} s after the last one"
            " that was; `hamgate doctor` looks closer",
            err=True,
        )
    return 0 if result.decided and not result.undecided else 1


def _replay(
    settings: Settings, slug: str, headers: dict[str, str], wanted: list[rows.Row]
) -> report.Report:
    began = time.monotonic()
    posting = Posting(settings, slug, headers, wanted)
    outcomes = Outcomes(settings, slug, headers)
    try:
        with progress(len(wanted)) as bars:
            posting.start()
            _follow(posting, outcomes, bars)
    finally:
        posting.stop()
        outcomes.close()
    return report.make(posting, outcomes, seconds=time.monotonic() - began)


def _follow(posting: Posting, outcomes: Outcomes, bars: Progress) -> None:
    """Look what was decided until all is, or until nothing happens any more."""
    happened_at = time.monotonic()
    before = (-1, -1)
    while True:
        posting.raise_fault()
        ended = posting.ended  # before the count: what is accepted meanwhile is still awaited
        pause = outcomes.look(posting.accepted())
        now = (posting.answered, len(outcomes.decided))
        bars(*now, accepted=len(posting.accepted()))
        if ended and not outcomes.waiting(posting.accepted()):
            posting.raise_fault()
            return
        if now != before:
            before, happened_at = now, time.monotonic()
        elif ended and time.monotonic() - happened_at > _PATIENCE_SECONDS:
            return
        time.sleep(pause)


def _check_server(settings: Settings, slug: str, headers: dict[str, str]) -> None:
    """Find out before the first comment whether the last one could be read."""
    if not loopback.answers(settings):
        raise loopback.NotRunning(
            f"no server answers at {loopback.origin(settings)}; start it in another terminal"
            " with `hamgate up`, or set HAMGATE_PORT to where it is"
        )
    client = loopback.Client(settings, headers=headers)
    try:
        answer = client.request("GET", f"/api/v1/sites/{slug}/comments?limit=1")
    finally:
        client.close()
    if answer.status in (401, 404):
        raise ConfigError(
            f"the server at {loopback.origin(settings)} does not know the key just made, so it"
            " uses another database; give both the same HAMGATE_HOME, or DATABASE_URL"
        )
    if answer.status != 200:
        raise HamgateError(f"the server is not well: {answer.refusal}")


@contextlib.contextmanager
def _key(database: Database, slug: str) -> Iterator[str]:
    """Make a key for the length of a block."""
    with database.transaction() as session:
        site = sites.find(session, slug)
        storms.hush(session, site.id, actor=OPERATOR)  # so many at once would look like one
        key = sites.create_key(session, site.id, _SCOPES)
        key_id = sites.authenticate(session, key).id
    try:
        yield key
    finally:
        with contextlib.suppress(NotFound), database.transaction() as session:
            sites.revoke_key(session, site.id, key_id)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Have SIGTERM end the block as Ctrl-C does, so that the key is revoked."""

    def stop(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
