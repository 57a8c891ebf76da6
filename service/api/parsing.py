"""Reading a request's JSON, strictly.

The one rule: what is ambiguous is refused. Two readers of the same body must never disagree on
what it says, so duplicate keys, NaN, deep nesting, codings and oversize are errors.
"""

import functools
import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

import flask
from pydantic import BaseModel, ValidationError
from werkzeug.http import parse_options_header

from service.base.errors import FieldError, Invalid, Malformed, TooLarge, Unsupported
from service.serving import problems

BODY_MOST_BYTES = 32 * 1024
_DEPTH_MOST = 8

M = TypeVar("M", bound=BaseModel)


def body(schema: type[M], *, most_bytes: int = BODY_MOST_BYTES) -> M:
    """Read the current request's body as `schema`.

    Raises:
        Unsupported: not `application/json`, or in a coding.
        TooLarge: more than `most_bytes`.
        Malformed: not one unambiguous JSON object.
        Invalid: an object with wrong content; every fault at once.
    """
    request = flask.request
    check_coding(request.environ)
    if (request.content_length or 0) > most_bytes:
        raise TooLarge(f"at most {most_bytes} bytes")
    # A chunked body states no length.
    return parse(schema, request.stream.read(most_bytes + 1), most_bytes=most_bytes)


def check_coding(environ: Mapping[str, Any]) -> None:
    """Refuse a body that is not plain JSON, whatever it holds.

    Raises:
        Unsupported: not `application/json`, or in a coding.
    """
    if not _is_json(environ.get("CONTENT_TYPE", "")):
        raise Unsupported("send application/json")
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise Unsupported("send the body without a content coding")
    # The server undoes the chunks of `gzip, chunked` and leaves the rest (RFC 9112 section 6.1).
    if environ.get("HTTP_TRANSFER_ENCODING", "chunked").lower() != "chunked":
        raise Unsupported("send the body in no transfer coding but chunks")


def parse(schema: type[M], raw: bytes, *, most_bytes: int = BODY_MOST_BYTES) -> M:
    """Read a body as `schema`.

    Raises:
        TooLarge: more than `most_bytes`.
        Malformed: not one unambiguous JSON object.
        Invalid: an object with wrong content; every fault at once.
    """
    if len(raw) > most_bytes:
        raise TooLarge(f"at most {most_bytes} bytes")
    try:
        return schema.model_validate(_load(raw))
    except ValidationError as error:
        raise problems.invalid(error) from None


def query(schema: type[M], *, several: frozenset[str] = frozenset()) -> M:
    """Read the current request's query string as `schema`.

    Args:
        schema: of the parameters.
        several: those that may stand more than once, and are lists.

    Raises:
        Invalid: unknown, wrong or repeated parameters; every fault at once.
    """
    given = dict(flask.request.args.lists())
    repeated = [name for name in given.keys() - several if len(given[name]) > 1]
    if repeated:
        raise Invalid([FieldError(f"/{name}", "must stand only once") for name in repeated])
    try:
        return schema.model_validate(
            {name: values if name in several else values[0] for name, values in given.items()}
        )
    except ValidationError as error:
        raise problems.invalid(error) from None


@functools.lru_cache(maxsize=256)
def _is_json(content_type: str) -> bool:
    return parse_options_header(content_type)[0].lower() == "application/json"


def _load(raw: bytes) -> dict[str, Any]:
    try:
        value = _DECODER.decode(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise Malformed("the body is not UTF-8") from None
    except RecursionError:
        raise Malformed(f"nested deeper than {_DEPTH_MOST}") from None
    except json.JSONDecodeError as error:
        raise Malformed(
            f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except ValueError as error:  # a number of thousands of digits
        raise Malformed(f"not JSON that can be read: {error}") from None
    if not isinstance(value, dict):
        raise Malformed("the body must be a JSON object")
    if raw.count(b"{") + raw.count(b"[") > _DEPTH_MOST:
        _measure(value, 1)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Malformed("a key stands twice in one object")
    return value


def _not_a_number(constant: str) -> NoReturn:
    raise Malformed(f"{constant} is not JSON")


def _finite(number: str) -> float:
    """Read a number; one that is too large for a float would be infinite, and no JSON again."""
    value = float(number)
    if not math.isfinite(value):
        raise Malformed("a number is too large")
    return value


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_not_a_number, parse_float=_finite
)


def _measure(value: object, depth: int) -> None:
    if depth > _DEPTH_MOST:
        raise Malformed(f"nested deeper than {_DEPTH_MOST}")
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            if isinstance(part, dict | list):
                _measure(part, depth + 1)
