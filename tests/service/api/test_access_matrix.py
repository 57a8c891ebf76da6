"""Every route × everybody who may ask: one table, and a route without a row fails."""

import flask
import pytest
from werkzeug.test import TestResponse

from service.core import sites
from service.core.sites import Scope
from service.core.webhooks import endpoints
from service.core.webhooks.deliveries import Outcome
from service.ledger.db import new_id
from service.pure.events import EventType
from service.pure.policy import Status
from tests.cast import (
    ORIGIN,
    PAGE,
    attempt,
    bearer,
    decide,
    make_body,
    make_comment,
    make_endpoint,
    make_key,
    make_site,
    wait_until,
)
from tests.conftest import Door

CALLERS = ("moderate", "submit", "other site", "none", "revoked", "garbage", "browser", "webhooks")
# Who asks:      a key of the site with scope …  | a key of another site with both scopes |
#                nobody | a revoked key | what is no key | a page of the site without a key |
#                a key of the site with scope “webhooks” alone
# To everybody but a key with scope “webhooks”.
CLOSED = (403, 403, 404, 401, 401, 401, 401)
MATRIX: dict[str, tuple[int, ...]] = {
    "POST /api/v1/sites/<site>/comments":            (403, 202, 404, 401, 401, 401, 202, 403),
    "GET /api/v1/sites/<site>/comments":             (200, 403, 404, 401, 401, 401, 401, 403),
    "GET /api/v1/comments/<comment_id>":             (200, 200, 404, 401, 401, 401, 401, 200),
    "GET /api/v1/comments/<comment_id>/decisions":   (200, 403, 404, 401, 401, 401, 401, 403),
    "POST /api/v1/comments/<comment_id>/decisions":  (201, 403, 404, 401, 401, 401, 401, 403),
    "POST /api/v1/sites/<site>/decisions":           (200, 403, 404, 401, 401, 401, 401, 403),
    "POST /api/v1/sites/<site>/acts/<act_id>/undo":  (200, 403, 404, 401, 401, 401, 401, 403),
    "PATCH /api/v1/comments/<comment_id>":           (401, 401, 401, 401, 401, 401, 401, 401),
    "DELETE /api/v1/comments/<comment_id>":          (401, 401, 401, 401, 401, 401, 401, 401),
    "POST /api/v1/comments/<comment_id>/appeals":    (401, 401, 401, 401, 401, 401, 401, 401),
    "POST /api/v1/comments/<comment_id>/confirmations": (401, 401, 401, 401, 401, 401, 401, 401),
    "POST /api/v1/comments/<comment_id>/reports":    (404, 404, 404, 404, 404, 404, 204, 404),
    "POST /api/v1/sites/<site>/markdown":            (403, 200, 404, 401, 401, 401, 200, 403),
    # The code that the test has is good for nobody: see test_confirmations.
    "POST /api/v1/sites/<site>/authors":             (403, 404, 404, 401, 401, 401, 404, 403),
    # What sites are told, and what became of it.
    "GET /api/v1/sites/<site>/endpoints":            (*CLOSED, 200),
    "POST /api/v1/sites/<site>/endpoints":           (*CLOSED, 201),
    "GET /api/v1/sites/<site>/endpoints/<endpoint_id>": (*CLOSED, 200),
    "PATCH /api/v1/sites/<site>/endpoints/<endpoint_id>": (*CLOSED, 200),
    "DELETE /api/v1/sites/<site>/endpoints/<endpoint_id>": (*CLOSED, 204),
    "POST /api/v1/sites/<site>/endpoints/<endpoint_id>/test": (*CLOSED, 202),
    "POST /api/v1/sites/<site>/endpoints/<endpoint_id>/rotate": (*CLOSED, 200),
    "POST /api/v1/sites/<site>/endpoints/<endpoint_id>/replay": (*CLOSED, 200),
    "GET /api/v1/sites/<site>/deliveries":           (*CLOSED, 200),
    "GET /api/v1/sites/<site>/deliveries/<delivery_id>": (*CLOSED, 200),
    "POST /api/v1/sites/<site>/deliveries/<delivery_id>/replay": (*CLOSED, 200),
    "POST /api/v1/sites/<site>/deliveries/replay":   (*CLOSED, 200),
    # What is for everybody looks at no key, not even at a bad one.
    "GET /api/v1/sites/<site>/thread":               (200, 200, 200, 200, 200, 200, 200, 200),
    "GET /api/v1/sites/<site>/challenge":            (200, 200, 200, 200, 200, 200, 200, 200),
    "GET /api/v1/sites/<site>/counts":               (200, 200, 200, 200, 200, 200, 200, 200),
    "GET /":                                         (200, 200, 200, 200, 200, 200, 200, 200),
    "GET /docs":                                     (200, 200, 200, 200, 200, 200, 200, 200),
    "GET /openapi.json":                             (200, 200, 200, 200, 200, 200, 200, 200),
    "GET /schemas/":                                 (200, 200, 200, 200, 200, 200, 200, 200),
    "GET /schemas/v1/<event_type>.json":             (200, 200, 200, 200, 200, 200, 200, 200),
    "GET /assets/docs/<path:filename>":              (200, 200, 200, 200, 200, 200, 200, 200),
    "GET /livez":                                    (200, 200, 200, 200, 200, 200, 200, 200),
    "GET /readyz":                                   (200, 200, 200, 200, 200, 200, 200, 200),
    "GET /metrics":                                  (200, 200, 200, 200, 200, 200, 200, 200),
    "GET /sites/<slug>/thread":                      (200, 200, 200, 200, 200, 200, 200, 200),
    "POST /sites/<slug>/thread":                     (303, 303, 303, 303, 303, 303, 403, 303),
    "GET /sites/<slug>/comments/<comment_id>":       (404, 404, 404, 404, 404, 404, 404, 404),
    "POST /sites/<slug>/comments/<comment_id>":      (404, 404, 404, 404, 404, 404, 403, 404),
    "POST /sites/<slug>/comments/<comment_id>/reports": (303, 303, 303, 303, 303, 303, 403, 303),
    # Nobody here has the link of a mail: see test_confirmations.
    "GET /sites/<slug>/confirmation":                (404, 404, 404, 404, 404, 404, 404, 404),
    "POST /sites/<slug>/confirmation":               (404, 404, 404, 404, 404, 404, 403, 404),
    "GET /sites/<slug>/silence":                     (404, 404, 404, 404, 404, 404, 404, 404),
    "POST /sites/<slug>/silence":                    (404, 404, 404, 404, 404, 404, 403, 404),
    "GET /sites/<slug>/feed.atom":                   (200, 200, 200, 200, 200, 200, 200, 200),
    "GET /embed.js":                                 (200, 200, 200, 200, 200, 200, 200, 200),
    "GET /count.js":                                 (200, 200, 200, 200, 200, 200, 200, 200),
    "GET /embed/<version>/<name>":                   (200, 200, 200, 200, 200, 200, 200, 200),
    "GET /embed/<version>/messages/<language>.json": (200, 200, 200, 200, 200, 200, 200, 200),
    "GET /demo":                                     (404, 404, 404, 404, 404, 404, 404, 404),
}  # fmt: skip
ARGUMENTS = {
    "<site>": "blog",
    "<slug>": "blog",
    "<path:filename>": "docs.css",
    "<version>": "1",
    "<name>": "app.js",
    "<language>": "de",
    "<event_type>": "comment.approved",
}


def routes(app: flask.Flask) -> set[str]:
    """Give every route as it stands in the table; the dashboard's have one of their own."""
    return {
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        if not rule.rule.startswith("/dashboard")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def test_every_route_stands_in_the_table(door: Door) -> None:
    assert routes(door.app) == set(MATRIX)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("route", MATRIX)
def test_a_route_answers_each_caller_as_the_table_says(door: Door, route: str, caller: str) -> None:
    answer = _ask(door, route, _headers(door, caller))

    assert answer.status_code == MATRIX[route][CALLERS.index(caller)], answer.text


# Only the author's receipt opens these: see test_authoring.
RECEIPT = {route for route in MATRIX if set(MATRIX[route]) == {401}}
PUBLIC = {route for route in MATRIX if set(MATRIX[route]) == {200}}
PAGES = {route for route in MATRIX if "/sites/<slug>" in route}


@pytest.mark.parametrize(
    "route", [route for route in MATRIX if "<comment_id>" in route and route not in RECEIPT | PAGES]
)
def test_another_sites_comment_is_as_if_it_were_not_there(door: Door, route: str) -> None:
    headers = _headers(door, "other site")
    theirs = _ask(door, route, headers)
    nothing = _ask(door, route, headers, comment_id="cmt_none")

    assert theirs.status_code == nothing.status_code == 404
    assert _without_instance(theirs) == _without_instance(nothing)


@pytest.mark.parametrize(
    "route", [route for route in MATRIX if "<site>" in route and route not in PUBLIC]
)
def test_another_site_is_as_if_it_were_not_there(door: Door, route: str) -> None:
    headers = _headers(door, "other site")
    theirs = _ask(door, route, headers)
    nothing = _ask(door, route, headers, site="blog2")

    assert theirs.status_code == nothing.status_code == 404
    assert _without_instance(theirs) == {
        **_without_instance(nothing),
        "detail": "there is no site “blog”",
    }


@pytest.mark.parametrize(
    "credentials",
    ["Basic YTpi", "Bearer", "Bearer ", "bearer x", "Token x", "hg_x_y", "Digest a=b", " "],
)
def test_what_is_no_bearer_token_is_unauthenticated(door: Door, credentials: str) -> None:
    answer = _ask(door, "GET /api/v1/sites/<site>/comments", {"Authorization": credentials})

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="hamgate"'


def test_the_scheme_of_a_key_is_not_case_sensitive(door: Door) -> None:
    headers = {"Authorization": f"BEARER  {door.key}"}

    assert _ask(door, "GET /api/v1/sites/<site>/comments", headers).status_code == 200


def test_a_key_in_use_ends_within_seconds_of_being_revoked(door: Door) -> None:
    key = make_key(door.database, door.site)
    route = "GET /api/v1/sites/<site>/comments"
    assert _ask(door, route, bearer(key)).status_code == 200
    with door.database.transaction() as session:
        sites.revoke_key(session, door.site.id, sites.authenticate(session, key).id)

    wait_until(lambda: _ask(door, route, bearer(key)).status_code != 200, within_seconds=5)


def _ask(
    door: Door,
    route: str,
    headers: dict[str, str],
    *,
    site: str = "blog",
    comment_id: str | None = None,
) -> TestResponse:
    method, path = route.split(" ")
    comment_id = comment_id or make_comment(door.database, door.site)
    if route.endswith("/reports") and comment_id != "cmt_none":
        decide(door.database, [comment_id], Status.APPROVED)
    act_id = new_id("act")
    decide(door.database, [make_comment(door.database, door.site)], Status.SPAM, act_id=act_id)
    is_told = "/endpoints" in route or "/deliveries" in route
    endpoint_id, delivery_id = _make_delivery(door) if is_told else ("", "")
    given = {
        "<site>": site, "<comment_id>": comment_id, "<act_id>": act_id,
        "<endpoint_id>": endpoint_id, "<delivery_id>": delivery_id,
    }  # fmt: skip
    for name, value in {**ARGUMENTS, **given}.items():
        path = path.replace(name, value)
    if route.endswith(("/thread", "/counts")):
        path += f"?page_url={PAGE}"
    body = _body(route, comment_id, delivery_id)
    if path.startswith("/sites/"):  # pages: forms in, with nobody's credentials
        form = {**make_body(), "reason": "rude", "action": "withdraw"}
        data = form if method == "POST" else None
        return door.client.open(path, method=method, data=data, headers=headers)
    return door.client.open(path, method=method, json=body, headers=headers)


def _body(route: str, comment_id: str, delivery_id: str) -> object:
    """Give what is to be sent to a route: the longest of these ends that it has."""
    decision = {"status": "spam", "seen_version": 1}
    bodies: dict[str, object] = {
        "": decision,
        "/<site>/comments": make_body(),
        "/markdown": {"body": "*so*"},
        "/appeals": {"reason": "it is unfair"},
        "/reports": {"reason": "it is unfair"},
        "/confirmations": {},
        "/authors": {"code": "x"},
        "/undo": None,
        "/<site>/decisions": {"decisions": [{**decision, "comment_id": comment_id}]},
        "/<site>/endpoints": {"url": "https://hooks.example.org/in"},
        "/test": None,
        "/rotate": None,
        "<endpoint_id>/replay": {"since": "2026-01-31T12:00:00Z"},
        "<delivery_id>/replay": None,
        "/deliveries/replay": {"delivery_ids": [delivery_id]},
    }
    if route.startswith("PATCH"):
        return {"description": "the shop"}
    if not route.startswith("POST"):
        return None
    return bodies[max((end for end in bodies if route.endswith(end)), key=len)]


def _make_delivery(door: Door) -> tuple[str, str]:
    """Have an endpoint of the site tried in vain, and give its id and the delivery's."""
    with door.database.transaction() as session:
        for one in endpoints.listing(session, door.site.id):  # there may be twenty at most
            endpoints.delete(session, door.site.id, one.id, actor="operator")
    endpoint_id, _ = make_endpoint(door.database, door.site, events=[EventType.ENDPOINT_TESTED])
    with door.database.transaction() as session:
        endpoints.test(session, door.site.id, endpoint_id)
    return endpoint_id, attempt(door.database, endpoint_id, Outcome(status=500)).delivery_id


def _headers(door: Door, caller: str) -> dict[str, str]:
    match caller:
        case "moderate":
            return bearer(make_key(door.database, door.site, {Scope.MODERATE}))
        case "submit":
            return bearer(make_key(door.database, door.site, {Scope.SUBMIT}))
        case "webhooks":
            return bearer(make_key(door.database, door.site, {Scope.WEBHOOKS}))
        case "other site":
            with door.database.reading() as session:
                known = {site.slug: site for site in sites.listing(session)}
            other = known.get("other") or make_site(door.database, "other")
            return bearer(make_key(door.database, other, set(Scope)))
        case "revoked":
            key = make_key(door.database, door.site)
            with door.database.transaction() as session:
                view = sites.authenticate(session, key)
                sites.revoke_key(session, view.site_id, view.id)
            return bearer(key)
        case "garbage":
            return bearer("hg_0123_garbage")
        case "browser":
            return {"Origin": ORIGIN}
        case _:
            return {}


def _without_instance(answer: TestResponse) -> dict[str, object]:
    assert isinstance(answer.json, dict)
    return {name: value for name, value in answer.json.items() if name != "instance"}
