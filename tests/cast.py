"""Plain builders: what tests are about, made with one call each."""

from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from service import comments, sites
from service.comments import Accepted, Submission
from service.db import Database
from service.sites import Scope, SiteView

ORIGIN = "https://blog.example.org"
PAGE = f"{ORIGIN}/first-post"
HAM = "Thank you, the second step was what I had missed."
SPAM = "CHECK OUT MY CHANNEL http://spam.example/win and subscribe now!!! Free money, click here"
BOTH_SCOPES = {Scope.SUBMIT, Scope.MODERATE}


def make_site(
    database: Database, slug: str = "blog", *, origins: list[str] | None = None
) -> SiteView:
    """Make a site whose only origin is `ORIGIN`."""
    with database.transaction() as session:
        return sites.create(session, slug, origins=[ORIGIN] if origins is None else origins)


def make_key(database: Database, site: SiteView, scopes: set[Scope] | None = None) -> str:
    """Make a key, with both scopes if none are named."""
    with database.transaction() as session:
        return sites.create_key(session, site.id, BOTH_SCOPES if scopes is None else scopes)


def make_submission(site: SiteView, **changes: Any) -> Submission:
    """Give a valid submission to a site."""
    values: dict[str, Any] = {
        "site_id": site.id,
        "page_url": PAGE,
        "name": "Ada",
        "email": "ada@example.org",
        "email_normalised": "ada@example.org",
        "body": HAM,
    }
    return Submission(**{**values, **changes})


def make_comment(database: Database, site: SiteView, **changes: Any) -> str:
    """Store a pending comment and give its id."""
    with database.transaction() as session:
        (accepted,) = comments.submit(session, [make_submission(site, **changes)])
    if not isinstance(accepted, Accepted):
        raise accepted
    return accepted.id


def make_body(**changes: Any) -> dict[str, Any]:
    """Give the JSON of a valid submission; a change to `None` leaves the field out."""
    values = {"page_url": PAGE, "name": "Ada", "email": "ada@example.org", "body": HAM, **changes}
    return {name: value for name, value in values.items() if value is not None}


def bearer(key: str) -> dict[str, str]:
    """Give the header that carries a key."""
    return {"Authorization": f"Bearer {key}"}


def post(client: FlaskClient, body: Any, slug: str = "blog", **headers: str) -> TestResponse:
    """Submit a comment from a page of the site; `Idempotency_Key=…` sets that header."""
    given = {"Origin": ORIGIN} | {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(f"/api/v1/sites/{slug}/comments", json=body, headers=given)
