"""Bulk: a statement for many rows, at little more than the price of one.

Given a list, SQLAlchemy prepares each row by itself and psycopg sends it by itself: for the six
bands of one comment that cost half as much as its score. Here PostgreSQL is sent each column as
one array, and SQLite's driver is given plain tuples. The one rule: what is stored is the same as
by any other statement.
"""

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

from pydantic_core import to_json
from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    LargeBinary,
    Select,
    String,
    Table,
    UpdateBase,
    bindparam,
    cast,
    func,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.compiler import Compiled
from sqlalchemy.types import TypeDecorator, TypeEngine

from service.ledger.db import insert_into

Rows = Sequence[Mapping[str, Any]]
_ROWS = "given_rows"

Given = Mapping[str, ColumnElement[Any]]


class Bulk:
    """A statement for many rows; to be kept, so that it is made once."""

    # All that there are, in the modules that have been imported.
    declared: ClassVar[list["Bulk"]] = []

    def __init__(
        self,
        columns: Mapping[str, Column[Any]],
        make: Callable[[Connection, Given], UpdateBase],
        *,
        at_once: bool = False,
    ) -> None:
        """Declare it.

        Args:
            columns: what each row brings, by name, with a column of its type.
            make: writes it. PostgreSQL executes it once, and what is given is a table to select
                or update from; SQLite executes it for each row, and what is given is bound.
            at_once: SQLite executes it once too, as PostgreSQL does; not for bytes.
        """
        self._at_once = at_once
        self._types: dict[str, TypeEngine[Any]] = {
            name: column.type for name, column in columns.items()
        }
        self._make = make
        self._made: dict[str, Any] = {}
        self.declared.append(self)

    def __call__(self, connection: Connection, rows: Rows) -> None:
        """Execute it; no two of the rows may change the same one."""
        if rows:
            self._execute(connection, rows)

    def prepare(self, connection: Connection) -> None:
        """Make it as the database wants it, for children that are forked later; change nothing."""
        made = self._made_for(connection)
        if not isinstance(made, Compiled):
            self._execute(connection, [])  # the engine keeps what it has compiled

    def _made_for(self, connection: Connection) -> Any:
        dialect = connection.dialect.name
        if dialect not in self._made:
            self._made[dialect] = self._write(connection)
        return self._made[dialect]

    def _execute(self, connection: Connection, rows: Rows) -> None:
        dialect = connection.dialect.name
        made = self._made_for(connection)
        if dialect == "sqlite" and self._at_once:
            listed = zip(
                *(self._values(name, rows, connection) for name in self._types), strict=True
            )
            connection.execute(made, {_ROWS: to_json(list(listed)).decode()})
        elif dialect == "sqlite":
            given = {_bound(name): self._values(name, rows, connection) for name in self._types}
            columns = (
                given.get(name) or itertools.repeat(made.params[name], len(rows))  # a constant
                for name in made.positiontup
            )
            connection.exec_driver_sql(made.string, list(zip(*columns, strict=True)))
        else:
            arrays = {_bound(name): self._array(name, rows, connection) for name in self._types}
            connection.execute(made, arrays)

    def _write(self, connection: Connection) -> Any:
        if connection.dialect.name == "sqlite" and self._at_once:
            value = func.json_each(bindparam(_ROWS, type_=String)).table_valued("value").c.value
            picked = (
                func.json_extract(value, f"$[{place}]").label(name)
                for place, name in enumerate(self._types)
            )
            return self._make(connection, dict(select(*picked).subquery("given").c.items()))
        if connection.dialect.name == "sqlite":
            bound = {
                name: bindparam(_bound(name), type_=kind) for name, kind in self._types.items()
            }
            return self._make(connection, bound).compile(dialect=connection.dialect)
        unpacked = (
            _unpacked(bindparam(_bound(name), type_=String), kind).label(name)
            for name, kind in self._types.items()
        )
        return self._make(connection, dict(select(*unpacked).subquery("given").c.items()))

    def _values(self, name: str, rows: Rows, connection: Connection) -> Sequence[Any]:
        values = [row[name] for row in rows]
        kind, dialect = self._types[name], connection.dialect
        if isinstance(kind, JSON):
            return [to_json(value).decode() for value in values]
        process = kind.dialect_impl(dialect).bind_processor(dialect)
        return values if process is None else [process(value) for value in values]

    def _array(self, name: str, rows: Rows, connection: Connection) -> str:
        values = [row[name] for row in rows]
        kind = self._types[name]
        if isinstance(kind, TypeDecorator):
            values = [kind.process_bind_param(value, connection.dialect) for value in values]
        elif isinstance(kind, LargeBinary):
            values = [f"\\x{value.hex()}" for value in values]
        return to_json(values).decode()


def inserting(
    table: Table,
    *names: str,
    also: Given | None = None,
    where_missing: bool = False,
    at_once: bool = False,
) -> Bulk:
    """Give a statement that inserts rows.

    Args:
        table: into which.
        names: of the columns that rows bring; all of them by default.
        also: what other columns get, the same for all rows.
        where_missing: leave what is there already as it is.
        at_once: as one statement on SQLite too, for what a statement costs there.
    """

    def make(connection: Connection, given: Given) -> Any:
        statement: Any = insert_into(connection, table)
        given = {**given, **(also or {})}
        if where_missing:
            statement = statement.on_conflict_do_nothing()
        if connection.dialect.name == "sqlite" and not at_once:
            statement = statement.values(given)
        else:
            # SQLite takes ON CONFLICT behind a SELECT for a part of that if it ends before WHERE.
            picked = select(*given.values()).where(true())
            statement = statement.from_select(list(given), picked)
        return statement

    columns = {name: table.c[name] for name in names or table.c.keys()}
    return Bulk(columns, make, at_once=at_once)


def updating(
    table: Table, names: Sequence[str], values: Callable[[Given], Mapping[str, Any]]
) -> Bulk:
    """Give a statement that changes rows, by their id.

    Args:
        table: of which.
        names: what each row brings besides `id`: values of the type of these columns.
        values: what is set, from what is given.
    """
    return Bulk(
        {name: table.c[name] for name in ("id", *names)},
        lambda _, given: update(table).where(table.c.id == given["id"]).values(values(given)),
    )


def any_of(
    connection: Connection, column: ColumnElement[Any], values: Collection[Any]
) -> ColumnElement[bool]:
    """Give the condition that a column is one of many, as one parameter.

    As 1,500 parameters it took longer to write the statement than to answer it.
    """
    given = listed(connection, column.type, values)
    if connection.dialect.name == "postgresql":
        return column == func.any(func.array(given.scalar_subquery()))
    return column.in_(given)


def listed(
    connection: Connection, kind: TypeEngine[Any], values: Collection[Any]
) -> Select[tuple[Any]]:
    """Give the rows of a column `value`, which come as one parameter.

    Args:
        connection: on which they are selected.
        kind: their type.
        values: the rows.
    """
    given = literal(to_json(list(values)).decode())
    if connection.dialect.name == "postgresql":
        return select(_unpacked(given, kind).label("value"))
    return select(func.json_each(given).table_valued("value").c.value)


def _bound(name: str) -> str:
    """Give the parameter's name; that of a column alone is SQLAlchemy's own."""
    return f"given_{name}"


def _unpacked(listed: ColumnElement[str], kind: TypeEngine[Any]) -> ColumnElement[Any]:
    """Give the rows of a list, which comes as JSON.

    The driver writes PostgreSQL's arrays ten times as slowly, and a table from JSON objects is
    read half as fast.
    """
    array = cast(listed, postgresql.JSON)
    if isinstance(kind, JSON):
        return cast(func.json_array_elements(array), kind)
    text = func.json_array_elements_text(array, type_=String)
    # Without its length: a cast would cut what is too long, an assignment refuses it.
    return text if isinstance(kind, String) else cast(text, kind)
