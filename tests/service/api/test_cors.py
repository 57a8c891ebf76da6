"""Which page may send and read what: the CORS protocol of the Fetch standard, and no cookies."""

import pytest
from werkzeug.test import TestResponse

from service.core.sites import create
from tests.cast import ORIGIN, bearer, json_of, make_body
from tests.conftest import Door

# What a browser sends for a page that is not on the list, however much it looks like one.
STRANGERS = [
    "https://evil.example", "null", "", "*", "https://", "https://blog.example.org.evil.example",
    "https://evil-blog.example.org", "https://evil.blog.example.org", "https://example.org",
    "http://blog.example.org", "https://blog.example.org:8443", "https://blog.example.org:443",
    "https://blog.example.org/", "https://BLOG.example.org", "HTTPS://blog.example.org",
    "https://blog.example.org https://evil.example", "https://blog.example.org,https://x.example",
    "https://blog.example.org\x00", "https://blog.example.org%60.evil.example", "file://",
]  # fmt: skip
_COMMENTS = "/api/v1/sites/blog/comments"


def test_a_page_of_the_site_may_submit_and_read_the_answer(door: Door) -> None:
    answer = door.client.post(_COMMENTS, json=make_body(), headers={"Origin": ORIGIN})

    assert answer.status_code == 202
    _assert_readable(answer)


def test_a_page_of_the_site_may_read_what_was_wrong(door: Door) -> None:
    for body, status in ((make_body(name=""), 422), ([], 400)):
        answer = door.client.post(_COMMENTS, json=body, headers={"Origin": ORIGIN})
        assert answer.status_code == status
        _assert_readable(answer)


@pytest.mark.parametrize("origin", STRANGERS, ids=ascii)
def test_another_page_may_not_submit(door: Door, origin: str) -> None:
    answer = door.client.post(_COMMENTS, json=make_body(), headers={"Origin": origin})

    assert answer.status_code == 403
    _assert_unreadable(answer)


def test_what_is_neither_a_page_nor_a_key_may_not_submit(door: Door) -> None:
    answer = door.client.post(_COMMENTS, json=make_body())

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    _assert_unreadable(answer)


def test_a_key_may_submit_whatever_the_origin_but_the_page_may_not_read_it(door: Door) -> None:
    for origin in (ORIGIN, "https://evil.example"):
        headers = {"Origin": origin, **bearer(door.key)}
        answer = door.client.post(_COMMENTS, json=make_body(), headers=headers)
        assert answer.status_code == 202
        _assert_unreadable(answer)


@pytest.mark.parametrize("path", [_COMMENTS, "/api/v1/comments/{id}"])
def test_a_preflight_from_a_page_of_the_site_is_allowed(door: Door, path: str) -> None:
    answer = _preflight(door, path.format(id=_comment(door)["id"]), ORIGIN)

    assert answer.status_code == 204
    assert not answer.data
    _assert_readable(answer)
    assert {"GET", "POST"} <= _listed(answer, "Access-Control-Allow-Methods")
    assert _listed(answer, "Access-Control-Allow-Headers") == {
        "Authorization", "Content-Type", "Idempotency-Key", "Prefer"
    }  # fmt: skip
    assert int(answer.headers["Access-Control-Max-Age"]) > 0


@pytest.mark.parametrize("origin", [*STRANGERS, None], ids=ascii)
def test_a_preflight_from_another_page_is_refused(door: Door, origin: str | None) -> None:
    answer = _preflight(door, _COMMENTS, origin)

    assert answer.status_code == 403
    _assert_unreadable(answer)


def test_a_preflight_does_not_tell_a_stranger_which_comments_there_are(door: Door) -> None:
    there = _preflight(door, f"/api/v1/comments/{_comment(door)['id']}", "https://evil.example")
    nowhere = _preflight(door, "/api/v1/comments/cmt_none", "https://evil.example")

    assert (there.status_code, json_of(there)["detail"]) == (
        nowhere.status_code,
        json_of(nowhere)["detail"],
    )
    assert there.status_code == 404


def test_a_page_of_the_site_may_read_a_comment_with_its_receipt(door: Door) -> None:
    mine = _comment(door)

    answer = _show(door, mine, ORIGIN)

    assert answer.status_code == 200
    _assert_readable(answer)


@pytest.mark.parametrize("origin", [*STRANGERS, None], ids=ascii)
def test_another_page_may_not_read_a_comment_even_with_its_receipt(
    door: Door, origin: str | None
) -> None:
    answer = _show(door, _comment(door), origin)

    # The receipt opens it to whoever holds it; the browser keeps it from the page.
    assert answer.status_code == 200
    _assert_unreadable(answer)


def test_a_page_of_another_site_may_not_read_a_comment(door: Door) -> None:
    theirs = "https://other.example.org"
    with door.database.transaction() as session:
        create(session, "other", origins=[theirs])

    _assert_unreadable(_show(door, _comment(door), theirs))
    _assert_unreadable(_preflight(door, _COMMENTS, theirs))


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/livez", "/readyz", "/nowhere"])
def test_nothing_outside_the_api_speaks_of_origins(door: Door, path: str) -> None:
    answer = door.client.get(path, headers={"Origin": ORIGIN})

    assert not [name for name in dict(answer.headers) if name.startswith("Access-Control")]


def _comment(door: Door) -> dict[str, str]:
    answer = door.client.post(_COMMENTS, json=make_body(), headers={"Origin": ORIGIN})
    return json_of(answer)


def _show(door: Door, comment: dict[str, str], origin: str | None) -> TestResponse:
    headers = {"Authorization": f"Receipt {comment['receipt']}"}
    if origin is not None:
        headers["Origin"] = origin
    return door.client.get(f"/api/v1/comments/{comment['id']}", headers=headers)


def _preflight(door: Door, path: str, origin: str | None) -> TestResponse:
    headers = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,idempotency-key",
    }
    if origin is not None:
        headers["Origin"] = origin
    return door.client.options(path, headers=headers)


def _listed(answer: TestResponse, name: str) -> set[str]:
    return {part.strip() for part in answer.headers[name].split(",")}


def _assert_readable(answer: TestResponse) -> None:
    assert answer.headers.getlist("Access-Control-Allow-Origin") == [ORIGIN]
    assert {"Location", "Retry-After"} <= _listed(answer, "Access-Control-Expose-Headers")
    _assert_always(answer)


def _assert_unreadable(answer: TestResponse) -> None:
    assert "Access-Control-Allow-Origin" not in answer.headers
    _assert_always(answer)


def _assert_always(answer: TestResponse) -> None:
    # Every answer depends on the origin, so a cache that kept one for all would mix them up.
    assert "Origin" in _listed(answer, "Vary")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert "Set-Cookie" not in answer.headers
