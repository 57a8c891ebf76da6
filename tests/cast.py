"""Plain builders: what tests are about, made with one call each."""

import random
import time
from collections.abc import Callable, Iterable
from typing import Any

from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from service.base.config import Settings
from service.base.jobs import Doorbell
from service.core import authors, comments, moderation, sites
from service.core.comments import Accepted, Submission
from service.core.moderation import Ballot, DecisionView
from service.core.sites import Scope, SiteView
from service.core.webhooks import deliveries, endpoints
from service.core.webhooks.deliveries import Claim, Outcome
from service.ledger.db import Database, utc_now
from service.ledger.models import Decision
from service.pure.policy import Status

ORIGIN = "https://blog.example.org"
PAGE = f"{ORIGIN}/first-post"
HAM = "Thank you, the second step was what I had missed."
SPAM = "CHECK OUT MY CHANNEL http://spam.example/win and subscribe now!!! Free money, click here"
BOTH_SCOPES = {Scope.SUBMIT, Scope.MODERATE}


def open_ledger(settings: Settings) -> Database:
    """Open the ledger of these settings; the caller closes it."""
    return Database(settings, Doorbell(settings))


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
    with database.writing() as connection:
        (accepted,) = comments.submit(connection, [make_submission(site, **changes)])
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


def make_verified_author(database: Database, site: SiteView, email: str) -> None:
    """Have an author prove that an e-mail address is theirs."""
    with database.transaction() as session:
        authors.verify(session, site.id, email, utc_now())


def status_of(database: Database, comment_id: str) -> Status:
    """Give a comment's status."""
    with database.reading() as session:
        return comments.get(session, comment_id).status


def decisions_by_comment(database: Database) -> dict[str, list[Decision]]:
    """Give all decisions in the ledger, oldest first, by comment."""
    found: dict[str, list[Decision]] = {}
    with database.reading() as session:
        for decision in session.scalars(select(Decision).order_by(Decision.comment_version)):
            found.setdefault(decision.comment_id, []).append(decision)
    return found


def json_of(answer: TestResponse) -> dict[str, Any]:
    """Give the JSON object that was answered."""
    assert isinstance(answer.json, dict)
    return answer.json


def faults(answer: TestResponse) -> dict[str, str]:
    """Give the message to each field that a 422 names, by pointer."""
    assert answer.status_code == 422, answer.text
    return {fault["pointer"]: fault["message"] for fault in json_of(answer)["errors"]}


def wait_until(
    true: Callable[[], object],
    within_seconds: float = 40,
    otherwise: str | Callable[[], str] = "it did not come about in time",
) -> None:
    """Wait until something is true; the test fails with what is said otherwise if it never is.

    Asks often at first and then ever less, so that what comes at once costs no time and what takes
    long no work.
    """
    deadline = time.monotonic() + within_seconds
    pause_seconds = 0.001
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(otherwise() if callable(otherwise) else otherwise)
        time.sleep(pause_seconds)
        pause_seconds = min(2 * pause_seconds, 0.1)


_TALK = """
harbour lantern copper meadow violin biscuit thunder gravel orchard saddle pepper window
candle ribbon marble tunnel feather kettle bridge pocket garden ladder button mirror
blanket hammer island bottle carpet engine jacket needle pencil rocket shovel ticket
walnut anchor basket cactus dragon falcon guitar hermit insect jungle
"""
_WORDS = _TALK.split()


def odd_talk(count: int, *, spam: bool, seed: int = 0) -> list[str]:
    """Give comments of a site where talk of rabbits is spam, which no shipped model can know."""
    dice = random.Random(seed if spam else seed + 1_000_000)
    talk = []
    for _ in range(count):
        words = dice.sample(_WORDS, 8)
        if spam:
            words[dice.randrange(8)] = "rabbit"
            words.insert(dice.randrange(8), "rabbit racing")
        talk.append(" ".join(words))
    return talk


def make_comments(
    database: Database, site: SiteView, bodies: Iterable[str], **changes: Any
) -> list[str]:
    """Store comments by as many authors and give their ids."""
    submissions = [
        make_submission(
            site,
            body=body,
            **{"email": f"r{place}@example.org", "email_normalised": f"r{place}@example.org"}
            | changes,
        )
        for place, body in enumerate(bodies)
    ]
    with database.writing() as connection:
        accepted = comments.submit(connection, submissions)
    return [entry.id for entry in accepted if isinstance(entry, Accepted)]


def decide(
    database: Database,
    ids: Iterable[str],
    status: Status,
    actor: str = "key:key_1",
    *,
    act_id: str | None = None,
) -> None:
    """Have a person decide on comments, whatever version they are at."""
    with database.transaction() as session:
        ballots = [
            Ballot(
                comment_id=one,
                seen_version=comments.get(session, one).version,
                status=status,
                actor=actor,
                reason="said so",
                act_id=act_id,
            )
            for one in ids
        ]
        outcome = moderation.record(session, ballots)
    assert all(isinstance(entry, DecisionView) for entry in outcome)


def make_endpoint(database: Database, site: SiteView, **changes: Any) -> tuple[str, str]:
    """Make an endpoint that wants all events, and give its id and its secret."""
    given = {"url": "https://hooks.example.org/in", "check": str, "actor": "operator", **changes}
    with database.transaction() as session:
        endpoint, secret = endpoints.create(session, site.id, **given)
    return endpoint.id, secret


def attempt(database: Database, endpoint_id: str, outcome: Outcome) -> Claim:
    """Have the endpoint's next delivery tried as a courier does, with this outcome."""
    with database.transaction() as session:
        claim = deliveries.claim(session, endpoint_id, 30)
    assert claim is not None
    with database.transaction() as session:
        deliveries.note(session, claim, outcome)
    return claim
