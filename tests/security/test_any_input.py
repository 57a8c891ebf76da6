"""Any input at all: what reads strangers' bytes is held against another reader of the same.

URLs are in `tests/service/pure/test_destinations.py`, Markdown beside it, requests as a
whole in `api/test_anything.py`, the classifier's folding in `tests/classifier/test_normalise.py`.
"""

import json
import logging
import math
import sys
from email.utils import getaddresses
from typing import Any

import flask
import pydantic_core
import pytest
from email_validator import ValidatedEmail
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from service.api import parsing, schemas
from service.base import logs
from service.base.errors import HamgateError

_TEXT = st.text(st.characters(codec=None), max_size=20)
_FINITE = st.floats(allow_nan=False, allow_infinity=False)
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=10,
)
_DEEPEST = 8
_APP = flask.Flask(__name__)


class Anything(BaseModel):
    """Whatever an object may hold."""

    model_config = ConfigDict(extra="allow")


@st.composite
def nearly_json(draw: st.DrawFn) -> bytes:
    """Give JSON of which a piece is missing, stands twice, or is something else."""
    written = json.dumps(draw(st.dictionaries(_TEXT, _JSON, max_size=3)), ensure_ascii=False)
    raw = written.encode("utf-8", "surrogatepass")
    start = draw(st.integers(0, len(raw)))
    end = draw(st.integers(start, min(len(raw), start + 8)))
    pieces = [
        b"",
        b'"',
        b"{",
        b"}",
        b"[",
        b",",
        b":",
        b"\\",
        b"\0",
        b"\xff",
        b"NaN",
        b"1e999",
        b" ",
    ]
    piece = draw(st.sampled_from([*pieces, raw[start:end] * 2]))
    return raw[:start] + piece + raw[end:]


def read(raw: bytes) -> dict[str, Any]:
    """Read a body as every route of the API does."""
    with _APP.test_request_context(method="POST", data=raw, content_type="application/json"):
        found = parsing.body(Anything)
    assert found.model_extra is not None
    return found.model_extra


@given(nearly_json() | st.binary(max_size=60) | st.text('{}[]":,\\u0d8e1.-+ tna', max_size=40))
@example('{"a": 1e999}')
@example('{"a": [-1E+400]}')
@example('{"a": "\\ud800"}')
@example('{"a": 1, "\\u0061": 2}')
def test_a_body_is_refused_or_read_as_another_parser_reads_it(body: bytes | str) -> None:
    raw = body if isinstance(body, bytes) else body.encode()
    try:
        found = read(raw)
    except HamgateError:
        return

    assert depth(found) <= _DEEPEST
    assert all(math.isfinite(number) for number in numbers(found))
    try:
        other = pydantic_core.from_json(raw, allow_inf_nan=False)
    except ValueError:
        # That parser knows no halves of surrogate pairs; no field of ours takes them either.
        assert "surrogate" in str(halves(found))
    else:
        assert found == other


@given(st.dictionaries(_TEXT, _JSON, max_size=4))
def test_every_object_that_is_not_too_deep_is_read_as_it_was_written(value: dict[str, Any]) -> None:
    assume(depth(value) <= _DEEPEST)

    assert read(json.dumps(value).encode()) == value


@given(st.dictionaries(_TEXT, _JSON, min_size=1, max_size=3), st.data())
def test_no_object_has_a_key_twice(value: dict[str, Any], data: st.DataObject) -> None:
    written = json.dumps(value)
    again = json.dumps(data.draw(st.sampled_from(sorted(value))))

    with pytest.raises(HamgateError, match="twice"):
        read(f"{written[:-1]}, {again}: 1}}".encode())


_EMAIL: TypeAdapter[ValidatedEmail] = TypeAdapter(
    schemas.Email, config=ConfigDict(arbitrary_types_allowed=True)
)
_PIECES = st.sampled_from(
    [*"ada@.<>(),;:\"' \t\r\n\0-_+%[]", "@example.org", "example", ".org", "Bcc: x@y.org",
     "=?utf-8?q?a?=", "ü", "e\u0301", "例え", "。", "＠", "\u200b", "\u202e", "\ud800",
     "xn--", "127.0.0.1"]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=14).map("".join) | _TEXT | _TEXT.map("{}@example.org".format))
def test_an_address_is_refused_or_one_mailbox_in_one_form(written: str) -> None:
    try:
        found = _EMAIL.validate_python(written).normalized
    except ValidationError:
        return

    assert _EMAIL.validate_python(found).normalized == found
    assert found.count("@") == 1
    assert found.isprintable()
    assert not set(found) & set(' <>(),;:"[]')
    # And to whoever reads it in a header of a mail, it is one recipient.
    assert getaddresses([found]) == [("", found)]


@given(st.text(st.characters(codec=None), max_size=60), _TEXT)
def test_whatever_is_logged_stays_on_its_line(said: str, name: str) -> None:
    try:
        raise ValueError(said)
    except ValueError:
        trouble = sys.exc_info()
    record = logging.makeLogRecord(
        {"msg": "%s", "args": (said,), "name": "service.web", "levelname": "INFO", "path": name}
    )
    for formatter in (logs.TextFormatter(), logs.JsonFormatter()):
        record.exc_info = None
        line = formatter.format(record)
        assert len(line.splitlines()) == 1
        assert not any(letter < " " or letter == "\x7f" for letter in line)

        record.exc_info = trouble
        first, *rest = formatter.format(record).splitlines()
        assert first == line or first.startswith("{")
        assert all(part.startswith("    ") for part in rest)


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def numbers(value: object) -> list[float]:
    return [leaf for leaf in leaves(value) if isinstance(leaf, float)]


def halves(value: object) -> list[str]:
    return [
        "a surrogate"
        for leaf in leaves(value)
        if isinstance(leaf, str) and any("\ud800" <= letter <= "\udfff" for letter in leaf)
    ]


def leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for pair in value.items() for part in pair for leaf in leaves(part)]
    if isinstance(value, list):
        return [leaf for part in value for leaf in leaves(part)]
    return [value]
