"""The description of the API: valid, complete, and true of what the API answers."""

import html
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator, oas31_format_checker
from openapi_spec_validator import OpenAPIV31SpecValidator

from service.base.config import Settings
from service.core.sites import Scope
from service.pure.scoring import Scorer
from tests.cast import bearer, json_of, make_body, make_comment, make_key, post
from tests.conftest import Door
from tests.service.api.test_access_matrix import MATRIX
from workers import classification

_PAGES = ("/", "/docs")


@pytest.fixture
def document(door: Door) -> dict[str, Any]:
    return json_of(door.client.get("/openapi.json"))


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")

    OpenAPIV31SpecValidator(document).validate()


def test_every_route_of_the_api_is_described(document: dict[str, Any]) -> None:
    described = {
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
    }
    routes = {route.replace("<", "{").replace(">", "}") for route in MATRIX if " /api/v1/" in route}

    assert described == routes


def test_every_status_a_caller_may_get_is_described(document: dict[str, Any]) -> None:
    for route, statuses in MATRIX.items():
        method, path = route.replace("<", "{").replace(">", "}").split(" ")
        if path.startswith("/api/v1/"):
            responses = document["paths"][path][method.lower()]["responses"]
            assert {str(status) for status in statuses} <= set(responses), route
            assert {"429", "503"} <= set(responses), route


def test_operations_have_names_of_their_own(document: dict[str, Any]) -> None:
    names = [
        operation["operationId"]
        for methods in document["paths"].values()
        for operation in methods.values()
    ]

    assert len(set(names)) == len(names)


def test_every_example_is_valid_and_taken(door: Door, document: dict[str, Any]) -> None:
    schema = document["components"]["schemas"]["KeySubmission"]
    sent = {}
    for name, shape in schema["properties"].items():
        for example in shape.get("examples", []):
            _validate(example, shape, document)
            sent[name] = example

    assert set(sent) >= set(schema["required"])
    answer = door.client.post("/api/v1/sites/blog/comments", json=sent, headers=bearer(door.key))
    assert answer.status_code == 202


def test_what_is_described_as_a_limit_is_one(door: Door, document: dict[str, Any]) -> None:
    properties = document["components"]["schemas"]["KeySubmission"]["properties"]

    for name, shape in properties.items():
        text = next((part for part in shape.get("anyOf", [shape]) if "maxLength" in part), None)
        if text is not None:
            body = make_body(**{name: "x" * (text["maxLength"] + 1)})
            answer = door.client.post(
                "/api/v1/sites/blog/comments", json=body, headers=bearer(door.key)
            )
            assert answer.status_code == 422, name
        else:
            assert name == "submitted_at"


def test_unknown_fields_are_said_to_be_refused(document: dict[str, Any]) -> None:
    for name in ("KeySubmission", "NewDecision", "NamedDecision", "BulkDecisions"):
        assert document["components"]["schemas"][name]["additionalProperties"] is False


def test_what_the_api_answers_is_what_is_described(
    door: Door, document: dict[str, Any], scorer: Scorer, settings: Settings
) -> None:
    client, key = door.client, bearer(door.key)
    accepted = post(client, make_body(url="https://ada.example.org/"))
    mine = json_of(accepted)
    path = f"/api/v1/comments/{mine['id']}"
    undecided = client.get(path, query_string=mine)
    classification.drain(door.database, scorer, settings)
    other = make_comment(door.database, door.site)
    decision = {"status": "approved", "seen_version": 1}
    bulk = {"decisions": [{**decision, "comment_id": c} for c in (other, "cmt_none")]}
    answers = {
        "Accepted": [accepted],
        "OwnComment": [undecided, client.get(path, query_string=mine)],
        "Comment": [client.get(path, headers=key)],
        "CommentPage": [client.get("/api/v1/sites/blog/comments", headers=key)],
        "BulkResults": [client.post("/api/v1/sites/blog/decisions", json=bulk, headers=key)],
        "FullDecision": [
            client.post(f"{path}/decisions", json={**decision, "seen_version": 2}, headers=key)
        ],
        "Decisions": [client.get(f"{path}/decisions", headers=key)],
        "DecidedComment": [
            post(client, make_body(), Idempotency_Key="k"),
        ],
        "Problem": [
            post(client, {}),
            client.get("/nowhere"),
            client.post(f"{path}/decisions", json=decision, headers=key),
        ],
    }
    decided = json_of(answers["DecidedComment"].pop())["id"]
    client.post(f"/api/v1/comments/{decided}/decisions", json=decision, headers=key)
    answers["DecidedComment"] = [post(client, make_body(), Idempotency_Key="k", Prefer="wait=5")]

    for name, given in answers.items():
        for answer in given:
            _validate(answer.json, document["components"]["schemas"][name], document)
            assert name in _described(document, answer.status_code), (name, answer.status_code)


def test_what_the_api_answers_about_webhooks_is_what_is_described(
    door: Door, document: dict[str, Any]
) -> None:
    client, key = door.client, bearer(make_key(door.database, door.site, {Scope.WEBHOOKS}))
    base = "/api/v1/sites/blog"
    made = client.post(
        f"{base}/endpoints", json={"url": "https://hooks.example.org/in"}, headers=key
    )
    path = f"{base}/endpoints/{json_of(made)['id']}"
    make_comment(door.database, door.site)
    page = client.get(f"{base}/deliveries", headers=key)
    (delivery, *_) = json_of(page)["deliveries"]
    since = {"since": "2026-01-31T12:00:00Z"}
    answers = {
        "EndpointWithSecret": [made, client.post(f"{path}/rotate", headers=key)],
        "Endpoint": [client.get(path, headers=key)],
        "Endpoints": [client.get(f"{base}/endpoints", headers=key)],
        "DeliveryPage": [page],
        "DeliveryInFull": [client.get(f"{base}/deliveries/{delivery['id']}", headers=key)],
        "Replayed": [client.post(f"{path}/replay", json=since, headers=key)],
    }

    for name, given in answers.items():
        for answer in given:
            _validate(answer.json, document["components"]["schemas"][name], document)
            assert name in _described(document, answer.status_code), (name, answer.status_code)


class _Links(HTMLParser):
    """Collects what a page would fetch or run, and where it leads."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.targets: list[str] = []
        self.ids: set[str] = set()
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "data", "poster") or (name, tag) == ("href", "link"):
                self.fetched.append(value or "")
            elif name == "href":
                self.targets.append(value or "")
            elif name == "id":
                self.ids.add(value or "")
            elif name == "style" or name.startswith("on"):
                self.inline.append(f"{tag} {name}")


@pytest.mark.parametrize("path", _PAGES)
def test_a_page_runs_nothing_and_fetches_only_from_here(door: Door, path: str) -> None:
    answer = door.client.get(path)
    page = _Links()
    page.feed(answer.text)

    assert answer.status_code == 200
    assert answer.content_type == "text/html; charset=utf-8"
    assert not page.tags & {"script", "style", "iframe", "object", "embed", "base", "form"}
    assert page.inline == []
    for address in page.fetched:
        assert re.match(r"/[^/]", address)
        assert door.client.get(address).status_code == 200


@pytest.mark.parametrize("path", _PAGES)
def test_a_page_leads_nowhere_that_is_not_there(door: Door, path: str) -> None:
    page = _Links()
    page.feed(door.client.get(path).text)

    for target in page.targets:
        if target.startswith("#"):
            assert target[1:] in page.ids
        else:
            assert door.client.get(target).status_code == 200


@pytest.mark.parametrize("path", [*_PAGES, "/openapi.json", "/assets/docs/docs.css"])
def test_a_page_forbids_everything_it_does_not_need(door: Door, path: str) -> None:
    policy = door.client.get(path).headers["Content-Security-Policy"]
    directives = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))

    assert directives == {
        "default-src": "'none'",
        "style-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }


def test_the_page_shows_every_route_and_every_error(door: Door, document: dict[str, Any]) -> None:
    page = html.unescape(door.client.get("/docs").text)

    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert f"<b>{method.upper()}</b> {path}" in page
            assert operation["summary"] in page
    for slug in ("malformed", "invalid", "key-reused", "rate-limited", "unavailable"):
        assert f"/problems/{slug}" in page


def test_the_example_on_the_first_page_is_taken(door: Door) -> None:
    page = html.unescape(door.client.get("/").text)
    found = re.search(r"-d '({.*?})'", page, re.DOTALL)
    assert found is not None

    assert post(door.client, json.loads(found[1])).status_code == 202


def _validate(value: Any, schema: dict[str, Any], document: dict[str, Any]) -> None:
    OAS31Validator(
        {**schema, "components": document["components"]}, format_checker=oas31_format_checker
    ).validate(value)


def _described(document: dict[str, Any], status: int) -> set[str]:
    """Give the schemas that any route is described to answer with under a status."""
    responses = [
        operation["responses"].get(str(status), {})
        for methods in document["paths"].values()
        for operation in methods.values()
    ]
    return set(re.findall(r"#/components/schemas/(\w+)", json.dumps(responses)))
