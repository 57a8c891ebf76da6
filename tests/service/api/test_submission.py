"""Submitting a comment over HTTP: which fields are taken, which refused, and in which words."""

import itertools
from typing import Any

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from service.ledger.models import Comment, Thread
from tests.cast import HAM, bearer, faults, json_of, make_body, post
from tests.conftest import Door

_ACCENT = "\u0301"
_FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
_numbers = itertools.count()


def test_a_valid_comment_is_accepted_with_a_receipt(door: Door) -> None:
    answer = post(door.client, make_body())

    assert answer.status_code == 202
    given = json_of(answer)
    assert given.keys() == {"id", "status", "receipt"}
    assert given["status"] == "pending"
    assert answer.headers["Location"] == f"/api/v1/comments/{given['id']}"
    own = door.client.get(
        answer.headers["Location"], headers={"Authorization": f"Receipt {given['receipt']}"}
    )
    assert own.status_code == 200
    assert json_of(own)["decision"] is None


def test_every_bad_field_is_named_at_once(door: Door) -> None:
    sent = {"page_url": "nowhere", "name": "\u200b", "email": "ada@", "url": "x", "extra": 1}

    refused = faults(post(door.client, sent))

    assert set(refused) == {"/page_url", "/name", "/email", "/body", "/url", "/extra"}
    assert refused["/body"] == "is required"
    assert refused["/extra"] == "is not a field of this request"


def test_every_bad_field_of_a_key_is_named_at_once(door: Door) -> None:
    sent = {"ip": "1.2.3", "submitted_at": "noon", "user_agent": "a\nb", "referrer": "a\nb"}

    refused = faults(_post_with_key(door, make_body(**sent)))

    assert set(refused) == {f"/{name}" for name in sent}


@pytest.mark.parametrize("field", ["page_url", "name", "email", "body"])
def test_a_required_field_that_is_missing_is_named(door: Door, field: str) -> None:
    assert faults(post(door.client, make_body(**{field: None}))) == {f"/{field}": "is required"}


@pytest.mark.parametrize("value", [5, 1.5, True, ["Ada"], {"a": "Ada"}], ids=repr)
@pytest.mark.parametrize(
    "field",
    ["page_url", "name", "email", "body", "page_title", "url", "parent_id", "external_id",
     "honeypot", "ip", "user_agent", "referrer"],
)  # fmt: skip
def test_a_field_of_another_type_than_text_is_refused(door: Door, field: str, value: Any) -> None:
    answer = _post_with_key(door, make_body(**{field: value}))

    assert faults(answer) == {f"/{field}": "must be text"}


@pytest.mark.parametrize("field", ["page_url", "name", "email", "body"])
def test_a_required_field_must_not_be_null(door: Door, field: str) -> None:
    assert faults(post(door.client, make_body() | {field: None})) == {f"/{field}": "must be text"}


@pytest.mark.parametrize(
    ("field", "longest"),
    [("page_url", 2000), ("url", 2000), ("page_title", 300), ("parent_id", 30),
     ("external_id", 200), ("honeypot", 1000), ("user_agent", 1000), ("referrer", 2000)],
)  # fmt: skip
def test_a_field_may_be_as_long_as_its_limit_and_no_longer(
    door: Door, field: str, longest: int
) -> None:
    start = "https://example.org/" if field.endswith("url") else f"{next(_numbers)} "
    fits = start + "x" * (longest - len(start))

    taken = _post_with_key(door, make_body(**{field: fits}))
    refused = _post_with_key(door, make_body(**{field: f"{fits}x"}))

    # A parent that is not there is another fault than one that is too long.
    assert taken.status_code == 202 or "no such comment" in faults(taken)["/parent_id"]
    assert faults(refused) == {f"/{field}": f"must have at most {longest} characters"}


@pytest.mark.parametrize(
    "name",
    [
        "A", "x" * 80, f"e{_ACCENT}" * 80, "\u0915\u094d" * 80, "\U0001f600" * 80, "李小龍",
        "x " * 79 + "x", "عائشة", "O\u2019Neil, Jr. <ada>", f"{_FAMILY} Ada", "Zoë\u200dX",
        "  Ada  ", "None",
    ],
    ids=ascii,
)  # fmt: skip
def test_a_name_of_1_to_80_visible_characters_is_taken(door: Door, name: str) -> None:
    answer = post(door.client, make_body(name=name))

    assert answer.status_code == 202
    assert _stored(door, answer).name == name.strip()


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "\u3000", "x" * 81, f"e{_ACCENT}" * 81, "\U0001f600" * 81, "x " * 80 + "x",
        "\u200b", "\u200b\u200d\u2060\ufeff", _ACCENT * 3, "\u00ad", "\u202e", "\U000e0041",
        "\u3164", "\u115f\u1160", "\uffa0", "\u2800", "\ufe0f", "\ue000", "\u0378",
    ],
    ids=ascii,
)  # fmt: skip
def test_a_name_with_no_or_more_than_80_visible_characters_is_refused(
    door: Door, name: str
) -> None:
    answer = post(door.client, make_body(name=name))

    assert faults(answer) == {"/name": "must have 1 to 80 visible characters"}


def test_a_name_of_marks_without_end_is_refused(door: Door) -> None:
    assert post(door.client, make_body(name="e" + _ACCENT * 319)).status_code == 202
    assert set(faults(post(door.client, make_body(name="e" + _ACCENT * 320)))) == {"/name"}


@pytest.mark.parametrize("character", ["\n", "\r", "\t", "\x1b", "\x7f", "\x85", "\u2028"])
@pytest.mark.parametrize("field", ["name", "page_title", "external_id", "user_agent", "referrer"])
def test_a_field_of_one_line_holds_no_control_character(
    door: Door, field: str, character: str
) -> None:
    answer = _post_with_key(door, make_body(**{field: f"a{character}b"}))

    assert faults(answer) == {f"/{field}": "must be one line without control characters"}


@pytest.mark.parametrize(
    ("character", "message"),
    [
        ("\x00", "must not contain a NUL character"),
        ("\ud800", "must not contain half of a surrogate pair"),
    ],
    ids=ascii,
)
@pytest.mark.parametrize(
    "field",
    ["page_url", "name", "email", "body", "page_title", "url", "parent_id", "external_id",
     "honeypot", "user_agent", "referrer"],
)  # fmt: skip
def test_no_text_holds_what_cannot_be_stored(
    door: Door, field: str, character: str, message: str
) -> None:
    start = "https://example.org/" if field.endswith("url") else "ab"

    answer = _post_with_key(door, make_body(**{field: f"{start}{character}c"}))

    assert faults(answer) == {f"/{field}": message}


@pytest.mark.parametrize("value", ["\x00", "\ud800"], ids=ascii)
@pytest.mark.parametrize("field", ["ip", "submitted_at"])
def test_no_address_and_no_time_holds_what_cannot_be_stored(
    door: Door, field: str, value: str
) -> None:
    assert set(faults(_post_with_key(door, make_body(**{field: value})))) == {f"/{field}"}


def test_an_unknown_field_is_refused_whatever_its_name(door: Door) -> None:
    for name in ("status", "id", "site_id", "a/b~c", "", "__class__"):
        answer = post(door.client, make_body() | {name: "x"})
        pointer = "/" + name.replace("~", "~0").replace("/", "~1")
        assert faults(answer) == {pointer: "is not a field of this request"}

    answer = post(door.client, make_body() | {"\ud800": "x"})
    assert faults(answer) == {"": "must not contain half of a surrogate pair"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ip", "192.0.2.1"),
        ("user_agent", "Mozilla/5.0"),
        ("referrer", "https://example.org/"),
        ("submitted_at", "2026-01-31T12:00:00Z"),
    ],
)
def test_what_only_a_key_may_say_is_refused_from_a_browser(
    door: Door, field: str, value: str
) -> None:
    body = make_body(**{field: value})

    assert faults(post(door.client, body)) == {f"/{field}": "is not a field of this request"}
    assert _post_with_key(door, body).status_code == 202


@pytest.mark.parametrize("nothing", ["", "   ", None], ids=repr)
def test_an_empty_optional_field_is_an_absent_one(door: Door, nothing: str | None) -> None:
    optional = (
        "page_title", "url", "parent_id", "external_id", "honeypot",
        "ip", "user_agent", "referrer", "submitted_at",
    )  # fmt: skip

    answer = _post_with_key(door, make_body() | dict.fromkeys(optional, nothing))

    stored = _stored(door, answer)
    assert (stored.url, stored.parent_id, stored.external_id) == (None, None, None)
    assert (stored.address, stored.user_agent, stored.referrer) == (None, None, None)
    assert not stored.honeypot_filled
    assert stored.submitted_at == stored.created_at


@pytest.mark.parametrize("body", ["x", "\U0001f600", "x" * 10_000, "e" + _ACCENT, "a\n\tb\r\n"])
def test_a_body_of_1_to_10000_characters_is_taken_as_written(door: Door, body: str) -> None:
    answer = post(door.client, make_body(body=body))

    assert _stored(door, answer).body == body


@pytest.mark.parametrize("body", ["", " \n\t ", "\u200b\u2060", "\u3164", _ACCENT], ids=ascii)
def test_a_body_without_a_visible_character_is_refused(door: Door, body: str) -> None:
    assert "one of them visible" in faults(post(door.client, make_body(body=body)))["/body"]


def test_a_body_of_10001_characters_is_refused(door: Door) -> None:
    answer = post(door.client, make_body(body="x" * 10_001))

    assert faults(answer) == {"/body": "must have at most 10000 characters"}


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("https://example.org", "https://example.org/"),
        ("HTTPS://EXAMPLE.org:443/A?b=c#d", "https://example.org/A?b=c"),
        ("http://example.org:80/", "http://example.org/"),
        ("http://example.org:8080/x", "http://example.org:8080/x"),
        ("https://example.org/?utm_source=x&q=a%20b&fbclid=y", "https://example.org/?q=a%20b"),
        ("http://[2001:DB8::1]/", "http://[2001:db8::1]/"),
        ("https://bücher.example/käse", "https://bücher.example/käse"),
        ("http://localhost:8000/", "http://localhost:8000/"),
    ],
)
def test_a_page_url_is_kept_in_one_form(door: Door, written: str, kept: str) -> None:
    answer = post(door.client, make_body(page_url=written))

    stored = _stored(door, answer)
    with door.database.reading() as session:
        page = session.scalar(select(Thread.page_url).where(Thread.id == stored.thread_id))
    assert page == kept


@pytest.mark.parametrize("field", ["page_url", "url"])
@pytest.mark.parametrize(
    "value",
    [
        "nowhere", "/first-post", "//example.org/", "https://", "https:///x", "http:example.org",
        "ftp://example.org/", "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd",
        "https://example.org:99999/", "https://example.org:x/", "https://[::1/", "http://[::1]x/",
        "http://[v1.x]/", "http://[fe80::1%25lo]/", "http://a b/", "http://a/b c", "http://../",
        'http://a"onclick=/', "http://a<b/", "http://%65xample.org/", "http://a\\b/", "http://?x",
        "http://@/", "http://\u2100.org/",
    ],
)  # fmt: skip
def test_what_is_no_absolute_http_url_is_refused(door: Door, field: str, value: str) -> None:
    answer = post(door.client, make_body(**{field: value}))

    assert faults(answer) == {f"/{field}": "must be an absolute http or https URL"}


def test_the_url_of_an_author_is_kept_as_written(door: Door) -> None:
    url = "HTTPS://Example.org:443/?utm_source=x#me"

    assert _stored(door, post(door.client, make_body(url=f" {url} "))).url == url


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ],
)
def test_an_ip_is_kept_in_one_form(door: Door, written: str, kept: str) -> None:
    assert _stored(door, _post_with_key(door, make_body(ip=written))).address == kept


@pytest.mark.parametrize(
    "value",
    ["1.2.3", "1.2.3.256", "01.2.3.4", "1.2.3.4/32", "1.2.3.4:80", "[::1]", "fe80::1%eth0", "::g",
     "localhost", "x" * 46],
)  # fmt: skip
def test_what_is_no_ip_is_refused(door: Door, value: str) -> None:
    assert set(faults(_post_with_key(door, make_body(ip=value)))) == {"/ip"}


@pytest.mark.parametrize(
    "written",
    ["2026-01-31T12:00:00Z", "2026-01-31T13:00:00+01:00", "2026-01-31t12:00:00.000z",
     "2026-01-31 12:00:00Z", "2026-01-31T12:00Z"],
)  # fmt: skip
def test_a_time_is_kept_in_utc_whatever_its_zone(door: Door, written: str) -> None:
    stored = _stored(door, _post_with_key(door, make_body(submitted_at=written)))

    assert stored.submitted_at.isoformat() == "2026-01-31T12:00:00+00:00"


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-31T12:00:00", "2026-01-31", "noon", "12:00Z", "1767225600", 1767225600, 1.5,
        True, [], "2026-02-30T12:00:00Z", "2026-01-31T25:00:00Z", "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
    ],
    ids=repr,
)  # fmt: skip
def test_a_time_without_zone_or_out_of_range_is_refused(door: Door, value: Any) -> None:
    answer = _post_with_key(door, make_body(submitted_at=value))

    assert faults(answer)["/submitted_at"].startswith("must be a time")


def _post_with_key(door: Door, body: dict[str, Any]) -> TestResponse:
    return door.client.post("/api/v1/sites/blog/comments", json=body, headers=bearer(door.key))


def _stored(door: Door, answer: TestResponse) -> Comment:
    assert answer.status_code == 202, answer.text
    with door.database.reading() as session:
        stored = session.get(Comment, json_of(answer)["id"])
    assert stored is not None
    return stored


def test_what_a_browser_sends_of_itself_is_stored(door: Door) -> None:
    answer = post(
        door.client,
        make_body(),
        User_Agent="Mozilla/5.0 (\x01x)\tY" + "z" * 2000,
        Referer="https://example.org/\x85" + "z" * 3000,
    )

    stored = _stored(door, answer)
    assert stored.body == HAM
    assert stored.address == "127.0.0.1"
    assert stored.user_agent is not None
    assert stored.user_agent.startswith("Mozilla/5.0 ( x) Yz")
    assert len(stored.user_agent) == 1000
    assert stored.referrer is not None
    assert len(stored.referrer) == 2000
