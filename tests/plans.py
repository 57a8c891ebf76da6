"""Plans: what is asked of the ledger, and how it says that it would find it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event

Asked = tuple[str, Any]


@contextmanager
def listening(engine: Engine) -> Iterator[list[Asked]]:
    """Give a list of the statements that are executed in the block, each with its values."""
    asked: list[Asked] = []

    def note(_c: Any, _k: Any, statement: str, values: Any, _x: Any, _m: Any) -> None:
        asked.append((statement, values))

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(engine, "before_cursor_execute", note)


def plan_of(connection: Connection, statement: str, values: Any) -> str:
    """Give the database's plan for a statement, its steps one after another."""
    explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
    return " ".join(map(str, connection.exec_driver_sql(f"{explain} {statement}", values)))
