"""What tables hold, as numbers that can be compared: rows counted, and their content hashed.

The one rule: the hash of a table is the sum of the hashes of its rows, so it is the same in
whatever order a database gives them, and takes no sorting. It tells a damaged copy from a whole
one; against forgery an archive has its SHA-256.
"""

import hashlib
import json
import sqlite3 as driver
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import Select, literal_column, select, table
from sqlalchemy.dialects import sqlite

_BYTES = 16
_MODULUS = 1 << (8 * _BYTES)
_TOLD_EVERY = 20_000
# 32 MB, where blocks are of the usual size.
_PIECE_BLOCKS = 4_096

Told = Callable[[int], None]
"""Told how many rows were read so far."""


@dataclass(frozen=True, slots=True)
class Sum:
    """A table's rows and the sum of their hashes, in hexadecimal digits."""

    rows: int
    content: str


def differences(wanted: Mapping[str, Sum], found: Mapping[str, Sum]) -> list[str]:
    """Give the tables that are not the same on both sides, sorted; empty if all are."""
    return sorted(
        name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)
    )


def of_sqlite(connection: driver.Connection, told: Told = lambda rows: None) -> dict[str, Sum]:
    """Give the sums of all tables; those behind an index of words are among them.

    Args:
        connection: with a transaction open, if others write meanwhile.
        told: for a progress bar.
    """
    names = [
        name
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            " AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name"
        )
    ]
    more = _counting(told)
    return {name: _of_sqlite_table(connection, name, more) for name in names}


def of_postgres(
    connections: Sequence[psycopg.Connection[tuple[Any, ...]]],
    told: Told = lambda rows: None,
) -> dict[str, Sum]:
    """Give the sums of all tables of the current schema, worked out by the server.

    Args:
        connections: share pieces of the tables out among them; each has a transaction open, and
            all of those see one snapshot, if others write meanwhile.
        told: for a progress bar.
    """
    for connection in connections:
        connection.execute(
            "SELECT set_config('client_encoding', 'UTF8', true),"
            " set_config('statement_timeout', '0', true)"
        )
    blocks = dict(
        connections[0].execute(
            "SELECT tablename, pg_relation_size(format('%I.%I', schemaname, tablename)::regclass)"
            " / current_setting('block_size')::int"
            " FROM pg_tables WHERE schemaname = current_schema() ORDER BY 2 DESC"
        )
    )
    pieces = [
        (name, first)
        for name, count in blocks.items()
        for first in range(0, max(1, count), _PIECE_BLOCKS)
    ]
    free: SimpleQueue[psycopg.Connection[tuple[Any, ...]]] = SimpleQueue()
    for connection in connections:
        free.put(connection)

    def sum_of(piece: tuple[str, int]) -> tuple[int, int]:
        name, first = piece
        connection = free.get()
        try:
            ((count, high, low),) = connection.execute(
                _POSTGRES_SUM.format(sql.Identifier(name)),
                [f"({first},0)", f"({first + _PIECE_BLOCKS},0)"],
            )
        finally:
            free.put(connection)
        return count, (int(high) << 64) + int(low)

    counts, totals = dict.fromkeys(blocks, 0), dict.fromkeys(blocks, 0)
    more = _counting(told)
    more(0)
    with ThreadPoolExecutor(len(connections)) as threads:
        for (name, _), (count, total) in zip(pieces, threads.map(sum_of, pieces), strict=True):
            counts[name] += count
            totals[name] += total
            more(count)
    return {name: _sum(counts[name], totals[name]) for name in blocks}


# A row as it is sent in binary, which no setting but the encoding changes, nor another version (the
# numbers of types are in it, and ours are all built in), and which costs half of what a row as text
# does; its SHA-256, and of that the first two words: bit(64) becomes a signed number, which sums as
# well as any. Without the offset the planner writes the hash into both sums, and it is worked out
# twice.
_POSTGRES_SUM = sql.SQL(
    "SELECT count(*),"
    " coalesce(sum(('x' || substr(hash, 1, 16))::bit(64)::bigint), 0),"
    " coalesce(sum(('x' || substr(hash, 17, 16))::bit(64)::bigint), 0)"
    " FROM (SELECT encode(sha256(record_send(one)), 'hex') AS hash"
    " FROM {} AS one WHERE ctid >= %s::tid AND ctid < %s::tid OFFSET 0) AS hashed"
)


def everything(name: str) -> str:
    """Give the statement that reads a table of SQLite, whatever its name."""
    query: Select[Any] = select(literal_column("*")).select_from(table(name))
    return str(query.compile(dialect=sqlite.dialect()))


def _of_sqlite_table(connection: driver.Connection, name: str, more: Callable[[int], None]) -> Sum:
    count = total = 0
    # JSON and not repr, which depends on Python's version for letters it does not know.
    encode = json.JSONEncoder(default=_written).encode
    for row in connection.execute(everything(name)):
        digest = hashlib.blake2b(encode(row).encode(), digest_size=_BYTES).digest()
        total += int.from_bytes(digest, "big")
        count += 1
        if count % _TOLD_EVERY == 0:
            more(_TOLD_EVERY)
    more(count % _TOLD_EVERY)
    return _sum(count, total)


def _sum(count: int, total: int) -> Sum:
    return Sum(count, f"{total % _MODULUS:0{2 * _BYTES}x}")


def _counting(told: Told) -> Callable[[int], None]:
    done = 0

    def more(count: int) -> None:
        nonlocal done
        done += count
        told(done)

    return more


def _written(value: object) -> dict[str, str]:
    if not isinstance(value, bytes):
        raise TypeError(f"SQLite has no {type(value)}")
    return {"hex": value.hex()}
