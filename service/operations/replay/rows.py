"""Reading the file: every row as the comment a site would send.

The one rule: what the columns say is sent as it is, and the server judges it; only what a
comment must have and the file lacks is made up, the same for the same row each time.
"""

import csv
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from service.base.errors import HamgateError
from service.pure import text

_PAGES = "https://example.org/replay/"  # RFC 2606: nobody's
_LABELS = {"1": True, "spam": True, "true": True, "0": False, "ham": False, "false": False}
# The server refuses far less; this only has to let every row reach it.
_FIELD_MOST = 10_000_000


class BadFileError(HamgateError):
    """There is nothing in the file that could be posted; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Row:
    """One comment to post.

    Attributes:
        number: of the row in the file, from 1, the header not counted.
        spam: its label; `None` without one.
        body: the submission.
    """

    number: int
    spam: bool | None
    body: Mapping[str, str]


def read(file: Path, limit: int | None = None) -> list[Row]:
    """Read the rows of a UTF-8 CSV file with a header.

    Columns, in any order and case: `text`; optional `label` (1 or spam, 0 or ham; anything else
    is no label), `author`, `date` (ISO 8601, UTC if it names no zone), `group` (the page). The
    e-mail address is made from the author's name, under example.org.

    Args:
        file: which.
        limit: rows at most.

    Raises:
        BadFileError: it cannot be read, is not UTF-8 or not CSV, or has no column `text` or
            no rows.
    """
    csv.field_size_limit(_FIELD_MOST)
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            return _rows(file, csv.DictReader(lines), limit)
    except UnicodeDecodeError as error:
        raise BadFileError(
            f"{file} is not UTF-8 (byte {error.object[error.start]:#04x}); convert it, perhaps"
            f" with: iconv -f WINDOWS-1252 -t UTF-8 {file.name} > utf8.csv"
        ) from error
    except csv.Error as error:
        raise BadFileError(f"{file} is not CSV: {error}") from error
    except OSError as error:
        raise BadFileError(f"cannot read {file}: {error.strerror}") from error


def _rows(file: Path, reader: "csv.DictReader[str]", limit: int | None) -> list[Row]:
    if reader.fieldnames is None:
        raise BadFileError(f"{file} is empty; its first line has to name the columns")
    names = [name.strip().lower() for name in reader.fieldnames]
    if "text" not in names:
        raise BadFileError(
            f"{file} has no column “text”; its first line names {', '.join(names)};"
            " columns are separated by commas"
        )
    reader.fieldnames = names
    found = [
        _row(number, values, file.stem)
        for number, values in enumerate(_limited(reader, limit), start=1)
    ]
    if not found:
        raise BadFileError(f"{file} has no rows below its first line")
    return found


def _limited(
    reader: Iterable[dict[str, str | None]], limit: int | None
) -> Iterable[dict[str, str | None]]:
    return itertools.islice(reader, limit)


def _row(number: int, values: Mapping[str, str | None], stem: str) -> Row:
    given = {name: value for name, value in values.items() if value and name is not None}
    author = given.get("author", "").strip() or "Anonymous"
    page = given.get("group", "").strip() or stem
    body = {
        "page_url": _PAGES + quote(page, safe=""),
        "name": author,
        "email": f"{text.digest(author)[:16]}@example.org",
        "body": given.get("text", ""),
    }
    written_at = _time(given.get("date", ""))
    if written_at is not None:
        body["submitted_at"] = written_at
    return Row(number, _LABELS.get(given.get("label", "").strip().lower()), body)


def _time(value: str) -> str | None:
    try:
        parsed = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).isoformat()
