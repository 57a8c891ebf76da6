"""Bodies: what two readers could take for two things is refused, and so is what is too much."""

import gzip
import http.client
import json

import pytest
from werkzeug.test import TestResponse

from service.api.parsing import BODY_MOST_BYTES
from service.base.config import Settings
from tests.cast import ORIGIN, faults, json_of, make_body, make_site, open_ledger
from tests.conftest import Door
from tests.system import System

_GOOD = json.dumps(make_body())


def test_a_body_as_it_should_be_is_taken(door: Door) -> None:
    assert _post(door, _GOOD).status_code == 202
    assert _post(door, f"\r\n\t {_GOOD} \n").status_code == 202
    assert _post(door, json.dumps(make_body(name="Zoë 李"), ensure_ascii=False)).status_code == 202


@pytest.mark.parametrize(
    "sent",
    [
        "", " ", "x", "{", _GOOD[:-1], f"{_GOOD}x", f"{_GOOD}{_GOOD}", "[]", f"[{_GOOD}]", "null",
        "true", "1", '"text"', "{'name': 'Ada'}", '{"name": "Ada",}', '{"name": "Ada" /* x */}',
        '{name: "Ada"}', '{"name": "a\nb"}', '{"name": "\\x41"}', '{"name": 01}', '{"name": +1}',
    ],
)  # fmt: skip
def test_what_is_no_json_object_is_malformed(door: Door, sent: str) -> None:
    _assert_malformed(_post(door, sent))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_does_not_know_is_malformed(door: Door, number: str) -> None:
    _assert_malformed(_post(door, _with(f'"name": {number}')), f"{number} is not JSON")
    _assert_malformed(_post(door, _with(f'"x": [{{"y": {number}}}]')), f"{number} is not JSON")


@pytest.mark.parametrize("number", ["1e999", "-1e999"])
def test_a_number_that_would_be_infinite_is_malformed(door: Door, number: str) -> None:
    _assert_malformed(_post(door, _with(f'"name": {number}')), "too large")


@pytest.mark.parametrize("number", ["1" * 4000, "0." + "1" * 4000, "1e-999"])
def test_a_number_of_any_size_is_of_the_wrong_type(door: Door, number: str) -> None:
    assert faults(_post(door, _with(f'"page_title": {number}'))) == {"/page_title": "must be text"}


def test_a_number_of_thousands_of_digits_is_malformed(door: Door) -> None:
    _assert_malformed(
        _post(door, _with(f'"page_title": {"1" * 20_000}')), "not JSON that can be read"
    )


@pytest.mark.parametrize(
    "twice",
    ['"name": "Bob"', '"n\\u0061me": "Bob"', '"x": {"y": 1, "y": 1}', '"x": [[{"y": 1, "y": 2}]]'],
)
def test_a_key_that_stands_twice_is_malformed(door: Door, twice: str) -> None:
    _assert_malformed(_post(door, _with(twice)), "a key stands twice in one object")


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"x":', "}")])
def test_a_body_may_be_nested_8_deep_and_no_deeper(door: Door, opening: str, closing: str) -> None:
    def nested(depth: int) -> str:
        return f'"x": {opening * (depth - 1)}1{closing * (depth - 1)}'

    assert faults(_post(door, _with(nested(8)))) == {"/x": "is not a field of this request"}
    _assert_malformed(_post(door, _with(nested(9))), "nested deeper than 8")


def test_brackets_in_text_are_no_nesting(door: Door) -> None:
    assert _post(door, json.dumps(make_body(body="[{" * 1000))).status_code == 202


def test_many_objects_side_by_side_are_no_nesting(door: Door) -> None:
    assert set(faults(_post(door, _with(f'"x": [{",".join(["{}"] * 100)}]')))) == {"/x"}


@pytest.mark.parametrize("bracket", ["[", '{"":', '[{"":'])
def test_twenty_thousand_brackets_are_malformed(door: Door, bracket: str) -> None:
    _assert_malformed(_post(door, bracket * (20_000 // len(bracket))))
    _assert_malformed(_post(door, _with(f'"x": {"[" * 16_000}{"]" * 16_000}')), "nested deeper")


def test_a_body_of_32_kb_is_taken_and_one_byte_more_is_not(door: Door) -> None:
    most = _GOOD.ljust(BODY_MOST_BYTES)

    assert _post(door, most).status_code == 202
    _assert_too_large(_post(door, f"{most} "))


def test_a_chunked_body_of_32_kb_is_taken_and_one_byte_more_is_not(door: Door) -> None:
    most = _GOOD.ljust(BODY_MOST_BYTES)

    assert _post(door, most, chunked=True).status_code == 202
    _assert_too_large(_post(door, f"{most} ", chunked=True))


@pytest.mark.parametrize("stated", ["-1", "x", "1x", ""])
def test_a_length_that_is_no_number_lets_nothing_through(door: Door, stated: str) -> None:
    answer = door.client.post(
        "/api/v1/sites/blog/comments",
        data=_GOOD,
        headers={"Origin": ORIGIN, "Content-Type": "application/json"},
        environ_overrides={"CONTENT_LENGTH": stated},
    )

    assert answer.status_code == 400


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain", "text/json", "application/x-www-form-urlencoded", "multipart/form-data",
        "application/problem+json", "application/ld+json", "application/jsonp", "json", "", "*/*",
        "text/plain; application/json", "application/json, text/plain",
    ],
)  # fmt: skip
def test_a_body_that_is_not_said_to_be_json_is_unsupported(door: Door, kind: str) -> None:
    answer = _post(door, _GOOD, kind=kind)

    assert answer.status_code == 415
    assert json_of(answer)["type"] == "/problems/unsupported"
    assert answer.headers["Accept"] == "application/json"


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "Application/JSON;x=y"]
)
def test_parameters_and_case_of_the_media_type_do_not_matter(door: Door, kind: str) -> None:
    assert _post(door, _GOOD, kind=kind).status_code == 202


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, identity", "x"])
def test_a_content_coding_is_unsupported(door: Door, coding: str) -> None:
    answer = _post(door, gzip.compress(_GOOD.encode()), Content_Encoding=coding)

    assert answer.status_code == 415
    assert answer.headers["Accept-Encoding"] == "identity"


def test_the_identity_coding_is_none(door: Door) -> None:
    assert _post(door, _GOOD, Content_Encoding="Identity").status_code == 202


@pytest.mark.parametrize(
    "sent",
    [
        _GOOD.encode("utf-16"),
        _GOOD.encode("utf-32"),
        _GOOD.replace("Ada", "Zo\u00eb").encode("latin-1"),
        b"\xef\xbb\xbf" + _GOOD.encode(),
        _GOOD.replace("Ada", "Ada\ud800").encode("utf-8", "surrogatepass"),
        _GOOD.encode() + b"\x00",
        _GOOD.encode().replace(b"Ada", b"A\x00da"),
        _GOOD.encode().replace(b"Ada", b"\xc0\x80"),
    ],
    ids=["utf-16", "utf-32", "latin-1", "bom", "surrogate", "nul-after", "nul", "overlong"],
)
def test_what_is_not_utf_8_without_a_mark_is_malformed(door: Door, sent: bytes) -> None:
    _assert_malformed(_post(door, sent))


def test_a_pair_of_escaped_surrogates_is_one_character(door: Door) -> None:
    assert _post(door, _with('"page_title": "\\ud83d\\ude00"')).status_code == 202
    assert set(faults(_post(door, _with('"page_title": "\\ude00\\ud83d"')))) == {"/page_title"}


@pytest.mark.process
def test_the_real_server_takes_and_refuses_chunked_bodies(settings: Settings) -> None:
    database = open_ledger(settings)
    make_site(database)
    database.close()
    most = _GOOD.ljust(BODY_MOST_BYTES).encode()
    system = System(
        {
            "HAMGATE_HOME": str(settings.home),
            "DATABASE_URL": settings.database_url,
            "REDIS_URL": settings.redis_url,
            "HAMGATE_WEB_PROCESSES": "1",
        }
    )
    try:
        system.start("web")
        assert _send_in_chunks(system.port, most) == 202
        assert _send_in_chunks(system.port, most + b" ") in (413, None)
        assert _send_in_chunks(system.port, b"") == 400
    finally:
        system.stop()


def _send_in_chunks(port: int, body: bytes) -> int | None:
    """Give the status; `None` if the server hung up on what it would not read."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    try:
        connection.request(
            "POST",
            "/api/v1/sites/blog/comments",
            iter([body[start : start + 1000] for start in range(0, len(body), 1000)]),
            {"Origin": ORIGIN, "Content-Type": "application/json"},
            encode_chunked=True,
        )
        return connection.getresponse().status
    except ConnectionError:
        return None
    finally:
        connection.close()


def _with(more: str) -> str:
    return f"{_GOOD[:-1]}, {more}}}"


def _post(
    door: Door,
    sent: str | bytes,
    *,
    kind: str = "application/json",
    chunked: bool = False,
    **headers: str,
) -> TestResponse:
    # A server that takes chunked bodies states no length and sets `wsgi.input_terminated`.
    overrides = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True} if chunked else {}
    return door.client.post(
        "/api/v1/sites/blog/comments",
        data=sent,
        headers={
            "Origin": ORIGIN,
            "Content-Type": kind,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
        environ_overrides=overrides,
    )


def _assert_malformed(answer: TestResponse, detail: str = "") -> None:
    assert answer.status_code == 400, answer.text
    assert answer.content_type == "application/problem+json"
    assert json_of(answer)["type"] == "/problems/malformed"
    assert detail in json_of(answer)["detail"]


def _assert_too_large(answer: TestResponse) -> None:
    assert answer.status_code == 413
    assert json_of(answer)["type"] == "/problems/too-large"
