"""Findings: the lines of the doctor's report, and what the checks share."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from service.base.config import Settings
from service.base.jobs import Doorbell
from service.ledger.db import Database


class Grade(StrEnum):
    """How a check went."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        check: what was looked at.
        grade: how it is.
        message: what was found, for people.
        remedy: what to do about it, a command where there is one; empty if all is well.
    """

    check: str
    grade: Grade
    message: str
    remedy: str = ""


def grade_of(warn: bool, fail: bool) -> Grade:
    """Give how a check went, of whether it is a reason to warn or a failure."""
    return Grade.FAIL if fail else Grade.WARN if warn else Grade.OK


@contextlib.contextmanager
def ledger(settings: Settings) -> Iterator[Database]:
    """Open the ledger for one check."""
    database = Database(settings, Doorbell(settings))
    try:
        yield database
    finally:
        database.close()
