"""Webhooks over the API: endpoints, the log and replay, and the schemas that receivers read."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import pytest
from flask.testing import FlaskClient
from sqlalchemy import select
from standardwebhooks import Webhook

from service.core import audit
from service.core.sites import Scope, SiteView
from service.core.webhooks import endpoints, signing
from service.core.webhooks.deliveries import Outcome
from service.ledger.db import Database, utc_now
from service.ledger.models import ENDPOINTS
from service.pure.events import MEANINGS, SHAPES, EventType
from tests.cast import (
    attempt,
    bearer,
    faults,
    json_of,
    make_comment,
    make_endpoint,
    make_key,
    make_site,
)

URL = "https://hooks.example.org/in"
BASE = "/api/v1/sites/blog"


@pytest.fixture
def site(database: Database) -> SiteView:
    return make_site(database)


class Api:
    """Asks with a key for webhooks."""

    def __init__(self, client: FlaskClient, key: str) -> None:
        self._client = client
        self._headers = bearer(key)

    def ask(self, method: str, path: str, body: object = None, *, status: int = 200) -> Any:
        answer = self._client.open(f"{BASE}{path}", method=method, json=body, headers=self._headers)
        assert answer.status_code == status, answer.text
        return answer.json if answer.data else None

    def faults(self, method: str, path: str, body: object) -> dict[str, str]:
        return faults(
            self._client.open(f"{BASE}{path}", method=method, json=body, headers=self._headers)
        )


@pytest.fixture
def api(client: FlaskClient, database: Database, site: SiteView) -> Api:
    return Api(client, make_key(database, site, {Scope.WEBHOOKS}))


def test_an_endpoint_is_made_and_its_secret_answered_this_once(
    api: Api, database: Database, site: SiteView
) -> None:
    sent = {"url": f" {URL} ", "events": ["comment.approved"], "description": "the shop"}
    made = api.ask("POST", "/endpoints", sent, status=201)

    assert made.pop("secret").startswith("whsec_")
    assert made == {
        "id": made["id"], "url": URL, "events": ["comment.approved"], "description": "the shop",
        "wants_personal": False, "created_at": made["created_at"], "old_secret_until": None,
        "failing_since": None, "is_full": False, "disabled_at": None, "disabled_reason": None,
    }  # fmt: skip
    assert api.ask("GET", f"/endpoints/{made['id']}") == made
    assert api.ask("GET", "/endpoints") == {"endpoints": [made]}
    with database.reading() as session:
        entry = audit.settings(session, site.id)[0]
    assert entry.actor.startswith("key:key_")
    assert "whsec_" not in json.dumps(entry.after)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"url": "ftp://hooks.example.org/"}, "/url"),
        ({"url": "http://127.0.0.1/"}, "/url"),
        ({"url": None}, "/url"),
        ({"events": ["comment.liked"]}, "/events/0"),
        ({"description": "two\nlines"}, "/description"),
        ({"wants_personal": "yes"}, "/wants_personal"),
        ({"secret": "whsec_mine"}, "/secret"),
    ],
)
def test_what_is_no_endpoint_is_refused_with_what_is_wrong(
    api: Api, change: dict[str, Any], pointer: str
) -> None:
    assert list(api.faults("POST", "/endpoints", {"url": URL, **change})) == [pointer]


def test_only_what_is_sent_of_an_endpoint_changes(
    api: Api, database: Database, site: SiteView
) -> None:
    endpoint_id, _ = make_endpoint(database, site, description="the shop")
    path = f"/endpoints/{endpoint_id}"

    assert api.ask("PATCH", path, {"events": ["storm.started"]})["description"] == "the shop"
    assert api.ask("PATCH", path, {"enabled": False})["disabled_reason"] == "by a person"
    assert api.ask("POST", f"{path}/test", status=403)["detail"].startswith("it is disabled")
    assert api.ask("PATCH", path, {"enabled": True})["events"] == ["storm.started"]
    assert api.faults("PATCH", path, {"url": "https://10.0.0.1/"}).keys() == {"/url"}
    assert api.ask("GET", path)["url"] == URL


def test_a_rotated_secret_signs_beside_the_one_before_until_a_day_has_passed(
    api: Api, database: Database, site: SiteView
) -> None:
    endpoint_id, before = make_endpoint(database, site)
    rotated = api.ask("POST", f"/endpoints/{endpoint_id}/rotate")
    api.ask("POST", f"/endpoints/{endpoint_id}/test", status=202)
    claim = attempt(database, endpoint_id, Outcome(status=204))
    headers = signing.headers(
        claim.event_id, int(datetime.now(UTC).timestamp()), claim.body, claim.secrets
    )

    for secret in (rotated["secret"], before):
        assert Webhook(secret).verify(claim.body, headers)["type"] == "endpoint.tested"
    until = datetime.fromisoformat(rotated["old_secret_until"])
    assert timedelta(hours=23) < until - utc_now() <= timedelta(days=1)
    assert (
        "two secrets are in use"
        in api.ask("POST", f"/endpoints/{endpoint_id}/rotate", status=403)["detail"]
    )


def test_a_deleted_endpoint_is_gone_with_its_log(
    api: Api, database: Database, site: SiteView
) -> None:
    endpoint_id, _ = make_endpoint(database, site)
    make_comment(database, site)
    assert api.ask("GET", "/deliveries")["deliveries"]

    api.ask("DELETE", f"/endpoints/{endpoint_id}", status=204)

    api.ask("GET", f"/endpoints/{endpoint_id}", status=404)
    assert api.ask("GET", "/deliveries") == {"deliveries": [], "next_cursor": None}


def test_another_sites_things_are_not_there(api: Api, database: Database) -> None:
    other = make_site(database, "other")
    theirs, _ = make_endpoint(database, other)
    make_comment(database, other)
    delivery_id = attempt(database, theirs, Outcome(status=500)).delivery_id

    for method, path, body in (
        ("GET", f"/endpoints/{theirs}", None),
        ("PATCH", f"/endpoints/{theirs}", {"enabled": False}),
        ("DELETE", f"/endpoints/{theirs}", None),
        ("POST", f"/endpoints/{theirs}/test", None),
        ("POST", f"/endpoints/{theirs}/rotate", None),
        ("POST", f"/endpoints/{theirs}/replay", {"since": "2026-01-01T00:00:00Z"}),
        ("GET", f"/deliveries/{delivery_id}", None),
        ("POST", f"/deliveries/{delivery_id}/replay", None),
    ):
        nothing = path.replace(theirs, "whe_none").replace(delivery_id, "dlv_none")
        answers = [api.ask(method, one, body, status=404) for one in (path, nothing)]
        assert answers[0]["detail"] == answers[1]["detail"]
    assert api.ask("POST", "/deliveries/replay", {"delivery_ids": [delivery_id]}) == {"replayed": 0}
    assert api.ask("GET", f"/deliveries?endpoint_id={theirs}")["deliveries"] == []


def test_a_delivery_is_read_with_its_body_to_the_byte_and_each_attempt(
    api: Api, database: Database, site: SiteView
) -> None:
    endpoint_id, _ = make_endpoint(database, site)
    comment_id = make_comment(database, site, body="Grüße aus “Köln”")
    claim = attempt(
        database, endpoint_id, Outcome(status=500, excerpt="<b>not now</b>", duration_ms=12)
    )

    found = api.ask("GET", f"/deliveries/{claim.delivery_id}")

    assert found["body"].encode() == claim.body
    assert found["event_id"] == claim.event_id
    assert (found["status"], found["reason"]) == ("waiting", "answered 500")
    assert (found["comment_id"], found["attempt_count"]) == (comment_id, 1)
    (one,) = found["attempts"]
    assert (one["number"], one["status"], one["excerpt"]) == (1, 500, "<b>not now</b>")
    assert one["duration_ms"] == 12
    assert one["failure"] is None


def test_deliveries_are_listed_by_what_they_are_page_by_page(
    api: Api, database: Database, site: SiteView
) -> None:
    endpoint_id, _ = make_endpoint(database, site, events=[EventType.COMMENT_SUBMITTED])
    ids = [make_comment(database, site) for _ in range(5)]
    attempt(database, endpoint_id, Outcome(status=410))
    begin = utc_now() - timedelta(minutes=1)

    def listed(query: str) -> list[str]:
        return [one["comment_id"] for one in api.ask("GET", f"/deliveries?{query}")["deliveries"]]

    first = api.ask("GET", "/deliveries?limit=3")
    second = api.ask("GET", f"/deliveries?limit=3&cursor={first['next_cursor']}")
    seen = [one["comment_id"] for page in (first, second) for one in page["deliveries"]]
    assert seen == ids[::-1]
    assert second["next_cursor"] is None
    assert len(listed("status=dead")) == 5  # 410 disables an endpoint
    assert listed("status=waiting") == []
    assert listed(f"comment_id={ids[2]}") == [ids[2]]
    assert listed("type=comment.approved") == []
    assert len(listed(f"since={begin:%Y-%m-%dT%H:%M:%SZ}")) == 5
    assert listed(f"until={begin:%Y-%m-%dT%H:%M:%SZ}") == []
    assert listed("since=9999-01-01T00:00:00Z") == []
    for query in ("status=lost", "type=x", "since=yesterday", "limit=0", "cursor=%00", "x=1"):
        assert api.faults("GET", f"/deliveries?{query}", None), query


def test_what_died_is_sent_again_one_many_or_all_since(
    api: Api, database: Database, site: SiteView
) -> None:
    endpoint_id, _ = make_endpoint(database, site, events=[EventType.COMMENT_SUBMITTED])
    for _ in range(4):
        make_comment(database, site)
    gone = attempt(database, endpoint_id, Outcome(status=410))
    ids = [one["id"] for one in api.ask("GET", "/deliveries")["deliveries"]]
    assert api.ask("POST", "/deliveries/replay", {"delivery_ids": ids}) == {"replayed": 0}
    api.ask("PATCH", f"/endpoints/{endpoint_id}", {"enabled": True})

    one, *others = ids
    assert api.ask("POST", f"/deliveries/{one}/replay") == {"replayed": 1}
    assert api.ask("POST", f"/deliveries/{one}/replay", status=403)["detail"]
    assert api.ask("POST", "/deliveries/replay", {"delivery_ids": others[:1]}) == {"replayed": 1}
    since = {"since": "2026-01-01T00:00:00Z", "dead_only": True}
    assert api.ask("POST", f"/endpoints/{endpoint_id}/replay", since) == {"replayed": 2}

    again = [attempt(database, endpoint_id, Outcome(status=204)) for _ in ids]
    assert (gone.event_id, gone.body) in [(claim.event_id, claim.body) for claim in again]
    everything = {"since": "2026-01-01T00:00:00Z"}
    assert api.ask("POST", f"/endpoints/{endpoint_id}/replay", everything) == {"replayed": 4}
    assert api.faults("POST", "/deliveries/replay", {"delivery_ids": ["dlv_1"] * 501})
    assert api.faults("POST", "/deliveries/replay", {"delivery_ids": []})


def test_a_twenty_first_endpoint_is_refused(api: Api, database: Database, site: SiteView) -> None:
    for _ in range(endpoints.ENDPOINTS_MOST):
        make_endpoint(database, site)

    assert api.faults("POST", "/endpoints", {"url": URL}) == {
        "/url": "a site has at most 20 endpoints"
    }


def test_the_schemas_are_public_listed_and_kept_by_caches(client: FlaskClient) -> None:
    index = client.get("/schemas/")
    listed = json_of(index)["events"]

    assert list(listed) == list(SHAPES) == list(MEANINGS) == list(EventType)
    for event_type, entry in listed.items():
        answer = client.get(entry["schema"])
        assert answer.mimetype == "application/schema+json"
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "public" in answer.headers["Cache-Control"]
        schema = json.loads(answer.data)
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["$id"] == entry["schema"]
        assert schema["properties"]["type"] == {"const": event_type}
        again = client.get(entry["schema"], headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304
    assert client.get("/schemas/v1/comment.liked.json").status_code == 404
    assert client.get("/schemas/v2/comment.approved.json").status_code == 404


def test_what_is_sent_is_as_its_schema_says(
    client: FlaskClient, database: Database, site: SiteView
) -> None:
    endpoint_id, _ = make_endpoint(database, site)
    make_comment(database, site)
    body = json.loads(attempt(database, endpoint_id, Outcome(status=204)).body)
    schema = json.loads(client.get(f"/schemas/v1/{body['type']}.json").data)

    jsonschema.Draft202012Validator(schema).validate(body)


def test_the_docs_page_tells_of_every_event(client: FlaskClient) -> None:
    page = client.get("/docs").text

    for event_type in EventType:
        assert f'href="/schemas/v1/{event_type}.json"' in page


def test_secrets_leave_the_ledger_only_at_their_making(
    api: Api, database: Database, site: SiteView
) -> None:
    endpoint_id, _ = make_endpoint(database, site)
    api.ask("POST", f"/endpoints/{endpoint_id}/rotate")
    with database.reading() as session:
        row = session.execute(select(ENDPOINTS.c.secret, ENDPOINTS.c.old_secret)).one()

    told = json.dumps([api.ask("GET", "/endpoints"), api.ask("GET", "/deliveries")])

    assert row.secret not in told
    assert row.old_secret not in told
