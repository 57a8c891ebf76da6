"""The database's clock, as statements ask for it."""

import pytest
from sqlalchemy import Column, select

from service.ledger.db import Database, db_now
from service.ledger.models import ATTEMPTS, COMMENTS
from tests.plans import plan_of


@pytest.mark.parametrize("column", [COMMENTS.c.classify_at, ATTEMPTS.c.started_at], ids=str)
def test_what_is_compared_with_the_clock_is_looked_up_in_an_index(
    database: Database, column: Column[object]
) -> None:
    with database.engine.connect() as connection:
        sqlite = connection.dialect.name == "sqlite"
        if not sqlite:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # the table is empty
        compiled = select(column).where(column > db_now(60)).compile(connection)
        values = tuple(compiled.params.values()) if sqlite else compiled.params
        plan = plan_of(connection, str(compiled), values)

    assert ("SEARCH " if sqlite else "Index Cond") in plan
