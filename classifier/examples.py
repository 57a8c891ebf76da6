"""What the classifier reads and learns from: contents, labels, examples.

Owns the value types and the reading of CSV and JSONL files. Nothing here needs scikit-learn.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from classifier.errors import TrainingDataError


class Label(StrEnum):
    """What a comment turned out to be."""

    HAM = "ham"
    SPAM = "spam"


@dataclass(frozen=True, slots=True)
class Content:
    """What the classifier sees of one comment.

    Attributes:
        body: The comment as its author wrote it; markup and all.
        author_name: The name given, or "".
        author_url: The web address given, or "".
        email: The e-mail address given, or "".
        page_title: The title of the page commented on, or "".
        lang: A language tag if known; kept for reports, not used for the score.
        echoes: How many earlier comments say nearly the same under another name, address or
            page; see `campaign`. 0 if not looked up.
    """

    body: str
    author_name: str = ""
    author_url: str = ""
    email: str = ""
    page_title: str = ""
    lang: str = ""
    echoes: int = 0


@dataclass(frozen=True, slots=True)
class Example:
    """A content and what it turned out to be.

    Attributes:
        content: What is judged.
        label: Its true label.
        group: What must not be split between training and testing (a page, a campaign).
        source: The data set it comes from.
        date: When it was written, ISO 8601 where known; only used to order examples.
        weight: How much it counts in training, above 0.
    """

    content: Content
    label: Label
    group: str = ""
    source: str = ""
    date: str = ""
    weight: float = field(default=1.0)

    @property
    def is_spam(self) -> bool:
        """Whether the label is spam."""
        return self.label is Label.SPAM


_LABELS = {"1": Label.SPAM, "spam": Label.SPAM, "0": Label.HAM, "ham": Label.HAM}
_BODY_COLUMNS = ("body", "text")
_NAME_COLUMNS = ("author_name", "author")


def read_contents(path: Path) -> Iterator[Content]:
    """Read contents without labels; see `read_examples` for the columns.

    Raises:
        TrainingDataError: The file cannot be read as CSV or JSONL, or a row has no body.
    """
    for number, row in _rows(path):
        yield _content(row, path, number)


def read_examples(path: Path, source: str | None = None) -> Iterator[Example]:
    """Read labelled examples from a `.csv` file with a header, or a `.jsonl` file.

    Args:
        path: The file. Columns: `body` or `text`, `label` (ham, spam, 0, 1); optional
            `author_name` or `author`, `author_url`, `email`, `page_title`, `lang`, `group`,
            `date`.
        source: Name of the data set; the file's stem if not given.

    Raises:
        TrainingDataError: The file cannot be read, or a row has no body or no known label.
    """
    name = path.stem if source is None else source
    for number, row in _rows(path):
        label = _LABELS.get(row.get("label", "").strip().lower())
        if label is None:
            raise TrainingDataError(
                f"{path}, row {number}: label must be ham, spam, 0 or 1, not {row.get('label')!r}"
            )
        yield Example(
            content=_content(row, path, number),
            label=label,
            group=f"{name}/{row['group']}" if row.get("group") else "",
            source=name,
            date=row.get("date", ""),
        )


def distinct(examples: Iterable[Example]) -> list[Example]:
    """Drop examples whose body, author name and label were seen before.

    Returns:
        The first of each, in the given order.
    """
    seen: set[tuple[str, str, Label]] = set()
    kept: list[Example] = []
    for example in examples:
        key = (example.content.body, example.content.author_name, example.label)
        if key not in seen:
            seen.add(key)
            kept.append(example)
    return kept


def _content(row: Mapping[str, str], path: Path, number: int) -> Content:
    body = next((row[column] for column in _BODY_COLUMNS if column in row), None)
    if body is None:
        raise TrainingDataError(f"{path}, row {number}: needs a column 'body' or 'text'")
    return Content(
        body=body,
        author_name=next((row[column] for column in _NAME_COLUMNS if row.get(column)), ""),
        author_url=row.get("author_url", ""),
        email=row.get("email", ""),
        page_title=row.get("page_title", ""),
        lang=row.get("lang", ""),
    )


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            if path.suffix == ".jsonl":
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield number, _json_row(line, path, number)
            else:
                for number, row in enumerate(csv.DictReader(file), 2):
                    yield number, {key: value or "" for key, value in row.items() if key}
    except OSError as error:
        raise TrainingDataError(f"{path} cannot be read: {error.strerror}") from error
    except csv.Error as error:
        raise TrainingDataError(f"{path} is not CSV: {error}") from error


def _json_row(line: str, path: Path, number: int) -> dict[str, str]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise TrainingDataError(f"{path}, line {number} is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise TrainingDataError(f"{path}, line {number} must hold an object")
    return {str(key): "" if value is None else str(value) for key, value in row.items()}
