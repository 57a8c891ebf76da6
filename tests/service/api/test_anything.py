"""Whatever is sent, the answer is one of ours: no 5xx, and problems in their one shape."""

import json
from typing import Any
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from tests.cast import ORIGIN, bearer, make_body, make_comment
from tests.conftest import Door

# Text with what databases and encoders stumble over, such as NUL and halves of surrogate pairs.
_TEXT = st.text(st.characters(codec=None), max_size=40)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)
_OPTIONAL = ("page_title", "url", "parent_id", "external_id", "honeypot", "ip", "user_agent",
             "referrer", "submitted_at")  # fmt: skip
_FIELDS = st.sampled_from([*make_body(), *_OPTIONAL])
_MANY = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)


@_MANY
@given(changes=st.dictionaries(_FIELDS, _JSON, max_size=3))
def test_a_submission_with_anything_in_its_fields_is_answered(
    door: Door, changes: dict[str, Any]
) -> None:
    body = json.dumps(make_body() | changes)

    for headers in (bearer(door.key), {"Origin": ORIGIN}):
        answer = door.client.post(
            "/api/v1/sites/blog/comments",
            data=body,
            headers={**headers, "Content-Type": "application/json"},
        )
        _assert_answered(answer, {202, 400, 422})


@_MANY
@given(changes=st.dictionaries(_FIELDS, _TEXT, max_size=4))
def test_a_submission_with_any_text_in_its_fields_is_answered(
    door: Door, changes: dict[str, str]
) -> None:
    answer = door.client.post(
        "/api/v1/sites/blog/comments", json=make_body() | changes, headers=bearer(door.key)
    )

    # An external id that an earlier example has taken is told as such.
    _assert_answered(answer, {202, 409, 422} if changes.get("external_id") else {202, 422})


@_MANY
@given(body=st.binary(max_size=200) | _JSON.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_answered(door: Door, body: bytes) -> None:
    answer = door.client.post(
        "/api/v1/sites/blog/decisions",
        data=body,
        headers={**bearer(door.key), "Content-Type": "application/json"},
    )

    _assert_answered(answer, {400, 422})


@_MANY
@given(
    decision=st.fixed_dictionaries(
        {"comment_id": _TEXT, "status": st.just("spam"), "seen_version": st.integers(min_value=1)},
        optional={"reason": _TEXT},
    )
)
def test_any_decision_is_answered(door: Door, decision: dict[str, Any]) -> None:
    answer = door.client.post(
        "/api/v1/sites/blog/decisions", json={"decisions": [decision]}, headers=bearer(door.key)
    )
    _assert_answered(answer, {200, 422})

    alone = {name: value for name, value in decision.items() if name != "comment_id"}
    path = f"/api/v1/comments/{make_comment(door.database, door.site)}/decisions"
    answer = door.client.post(path, json=alone, headers=bearer(door.key))
    _assert_answered(answer, {201, 409, 422})


@_MANY
@given(
    part=_TEXT.filter(bool),
    query=st.dictionaries(
        st.sampled_from(["status", "page_url", "cursor", "limit", "receipt"]) | _TEXT, _TEXT
    ),
)
def test_any_path_and_query_are_answered(door: Door, part: str, query: dict[str, str]) -> None:
    escaped = quote(part.encode("utf-8", "surrogatepass"), safe="")
    safe = {
        name.encode("utf-8", "replace"): value.encode("utf-8", "replace")
        for name, value in query.items()
    }

    for path in (
        f"/api/v1/comments/{escaped}",
        f"/api/v1/comments/{escaped}/decisions",
        f"/api/v1/sites/{escaped}/comments",
        "/api/v1/sites/blog/comments",
    ):
        answer = door.client.get(path, query_string=safe, headers=bearer(door.key))
        _assert_answered(answer, {200, 308, 401, 404, 422})


@_MANY
@given(
    name=st.sampled_from(
        ["Idempotency-Key", "Prefer", "Origin", "Authorization", "User-Agent", "Referer",
         "Content-Type", "Content-Encoding", "X-Forwarded-For"]
    ),
    value=st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40),
)  # fmt: skip
def test_any_header_is_answered(door: Door, name: str, value: str) -> None:
    answer = door.client.post(
        "/api/v1/sites/blog/comments", json=make_body(), headers={"Origin": ORIGIN, name: value}
    )

    _assert_answered(answer, {202, 400, 401, 403, 415})


def _assert_answered(answer: TestResponse, statuses: set[int]) -> None:
    assert answer.status_code in statuses, answer.text
    if answer.status_code >= 400:
        assert answer.content_type == "application/problem+json"
        assert answer.json is not None
        assert answer.json["status"] == answer.status_code
