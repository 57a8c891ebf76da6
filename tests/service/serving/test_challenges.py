"""What a form shows of how it was filled in: signed time, proof of work, each for one comment."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import altcha
import flask
import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from service.base.config import Settings
from service.base.jobs import Doorbell
from service.core import sites, storms
from service.ledger.db import Database, utc_now
from service.pure.policy import Challenge, Policy, ProofOfWork, Signals, decide
from service.pure.scoring import Scorer
from service.serving.challenges import LASTS, Challenges, Shown, unsolved
from tests.cast import ORIGIN, bearer, json_of, make_body, make_key, make_site, post
from tests.conftest import Door, Valkey, database_of
from workers import classification

SITE = "sit_1"
NOW = utc_now()
LATER = NOW + timedelta(seconds=20)


@pytest.fixture
def challenges(settings: Settings) -> Challenges:
    return Challenges(settings, Doorbell(settings))


def solved(challenge: dict[str, Any], **changes: Any) -> str:
    """Give a challenge with its solution, as ALTCHA's own library finds it."""
    found = altcha.solve_challenge(altcha.Challenge.from_dict(challenge))
    assert found is not None
    return packed({"challenge": challenge, "solution": found.to_dict() | changes})


def packed(given: object) -> str:
    return base64.b64encode(json.dumps(given).encode()).decode()


def easy(challenges: Challenges, **changes: Any) -> dict[str, Any]:
    """Give a challenge that is solved at once, of the same server."""
    values = {"expires_at": NOW + LASTS, **changes}
    return altcha.create_challenge(
        "SHA-256",
        cost=1,
        counter=7,
        data={"site": SITE, "issued_ms": int(NOW.timestamp() * 1000), "proof": True},
        hmac_secret=challenges._secret,
        **values,
    ).to_dict()


def test_sent_back_as_it_is_it_tells_how_long_writing_took(challenges: Challenges) -> None:
    made = challenges.issue(SITE, proof=False, now=NOW)

    shown = challenges.examine(SITE, unsolved(made), "one", LATER)

    assert shown == Shown(Challenge.SIGNED, 20_000)


def test_solved_it_is_a_proof_of_work(challenges: Challenges) -> None:
    shown = challenges.examine(SITE, solved(easy(challenges)), "one", LATER)

    assert shown == Shown(Challenge.SOLVED, 20_000)


def test_what_is_made_can_be_solved_by_altchas_own_library(challenges: Challenges) -> None:
    made = altcha.Challenge.from_dict(challenges.issue(SITE, proof=True, now=NOW))

    assert len(made.parameters.key_prefix) == 32  # no other counter can have it by chance
    assert made.parameters.expires_at == int((NOW + LASTS).timestamp())


def test_a_wrong_solution_proves_nothing_but_the_time(challenges: Challenges) -> None:
    payload = solved(easy(challenges), counter=8)

    assert challenges.examine(SITE, payload, "one", LATER) == Shown(Challenge.SIGNED, 20_000)


def test_each_is_for_one_comment_however_often_that_is_sent(challenges: Challenges) -> None:
    payload = unsolved(challenges.issue(SITE, proof=False, now=NOW))

    first, again, other = (
        challenges.examine(SITE, payload, holder, LATER).challenge
        for holder in ("one", "one", "another")
    )

    assert (first, again, other) == (Challenge.SIGNED, Challenge.SIGNED, Challenge.USED)


def test_without_redis_it_is_good_for_more(settings: Settings, own_valkey: Valkey) -> None:
    settings = settings.model_copy(update={"redis_url": own_valkey.url})
    challenges = Challenges(settings, Doorbell(settings))
    payload = unsolved(challenges.issue(SITE, proof=False, now=NOW))
    challenges.examine(SITE, payload, "one", LATER)
    own_valkey.kill()

    for _ in range(2):
        shown = challenges.examine(SITE, payload, "another", LATER)
        assert shown.challenge is Challenge.SIGNED


def test_of_another_site_or_server_or_changed_it_is_broken(
    challenges: Challenges, settings: Settings
) -> None:
    strange = Challenges(settings.model_copy(update={"secret": "x" * 40}), Doorbell(settings))
    mine = challenges.issue(SITE, proof=True, now=NOW)
    mine["parameters"]["data"]["issued_ms"] -= 60_000
    payloads = [
        unsolved(challenges.issue("sit_2", proof=False, now=NOW)),
        unsolved(strange.issue(SITE, proof=False, now=NOW)),
        unsolved(mine),
    ]

    for payload in payloads:
        assert challenges.examine(SITE, payload, "one", LATER) == Shown(Challenge.BROKEN)


def test_what_was_made_with_the_secret_before_is_good_while_that_is_kept(
    settings: Settings,
) -> None:
    def server(**secrets: str) -> Challenges:
        return Challenges(settings.model_copy(update=secrets), Doorbell(settings))

    before, after = server(secret="o" * 40), server(secret="n" * 40)
    during = server(secret="n" * 40, secret_previous="o" * 40)

    open_form = unsolved(before.issue(SITE, proof=False, now=NOW))
    new_form = unsolved(during.issue(SITE, proof=False, now=NOW))

    assert during.examine(SITE, solved(easy(before)), "a", LATER).challenge is Challenge.SOLVED
    assert during.examine(SITE, open_form, "one", LATER) == Shown(Challenge.SIGNED, 20_000)
    assert during.examine(SITE, open_form, "another", LATER).challenge is Challenge.USED
    assert after.examine(SITE, open_form, "one", LATER).challenge is Challenge.BROKEN
    assert after.examine(SITE, new_form, "one", LATER).challenge is Challenge.SIGNED


def test_after_a_day_it_has_expired(challenges: Challenges) -> None:
    payload = unsolved(easy(challenges, expires_at=NOW - timedelta(seconds=2)))

    assert challenges.examine(SITE, payload, "one", LATER) == Shown(Challenge.EXPIRED)


def test_nothing_is_missing(challenges: Challenges) -> None:
    assert challenges.examine(SITE, None, "one", LATER) == Shown(Challenge.MISSING)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
_LOOSE = st.fixed_dictionaries(
    {
        "challenge": st.fixed_dictionaries(
            {
                "parameters": st.fixed_dictionaries(
                    dict.fromkeys(("algorithm", "nonce", "salt", "cost"), _JSON),
                    optional=dict.fromkeys(("expiresAt", "data", "keyPrefix"), _JSON),
                ),
                "signature": _JSON,
            }
        )
        | _JSON
    },
    optional={"solution": st.fixed_dictionaries({"counter": _JSON, "derivedKey": _JSON}) | _JSON},
)


@given(st.text() | _JSON.map(packed) | _LOOSE.map(packed))
def test_whatever_is_sent_is_no_error(payload: str) -> None:
    challenges = Challenges(
        Settings(secret="x" * 40), Doorbell(Settings(redis_url="redis://[::1]:1"))
    )

    assert challenges.examine(SITE, payload, "one", LATER).challenge in (
        Challenge.BROKEN,
        Challenge.EXPIRED,
    )


@pytest.mark.parametrize(
    ("challenge", "written_ms", "rule"),
    [
        (Challenge.SIGNED, 1_999, "too_fast"),
        (Challenge.SIGNED, 2_000, "otherwise"),
        (Challenge.SOLVED, 1_999, "too_fast"),
        (Challenge.BROKEN, None, "bad_form"),
        (Challenge.EXPIRED, None, "bad_form"),
        (Challenge.USED, None, "bad_form"),
        (Challenge.MISSING, None, "otherwise"),
        (None, None, "otherwise"),
    ],
)
def test_what_is_odd_is_held(
    challenge: Challenge | None, written_ms: int | None, rule: str
) -> None:
    signals = Signals("ada@example.org", challenge=challenge, written_ms=written_ms, score=0.1)

    assert decide(signals, Policy()).rule == rule


@pytest.mark.parametrize(
    ("policy", "storm", "challenge", "rule"),
    [
        (Policy(forms_only=True), False, Challenge.MISSING, "bad_form"),
        (Policy(forms_only=True), False, Challenge.SIGNED, "otherwise"),
        (Policy(forms_only=True), False, None, "otherwise"),
        (Policy(write_seconds=0), False, Challenge.SIGNED, "otherwise"),
        (Policy(proof_of_work=ProofOfWork.ALWAYS), False, Challenge.SIGNED, "no_proof"),
        (Policy(proof_of_work=ProofOfWork.ALWAYS), False, Challenge.MISSING, "no_proof"),
        (Policy(proof_of_work=ProofOfWork.ALWAYS), False, Challenge.SOLVED, "otherwise"),
        (Policy(proof_of_work=ProofOfWork.ALWAYS), False, None, "otherwise"),
        (Policy(proof_of_work=ProofOfWork.STORM), False, Challenge.SIGNED, "otherwise"),
        (Policy(proof_of_work=ProofOfWork.STORM), True, Challenge.SIGNED, "no_proof"),
        (Policy(proof_of_work=ProofOfWork.STORM), True, Challenge.SOLVED, "storm"),
    ],
)
def test_the_policy_says_what_a_form_has_to_show(
    policy: Policy, storm: bool, challenge: Challenge | None, rule: str
) -> None:
    signals = Signals("a@example.org", challenge=challenge, storm=storm, score=0.1)

    assert decide(signals, policy).rule == rule


def ask(door: Door) -> dict[str, Any]:
    answer = door.client.get("/api/v1/sites/blog/challenge", headers={"Origin": ORIGIN})
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    return json_of(answer)


def stored(door: Door, **changes: Any) -> dict[str, Any]:
    answer = post(door.client, make_body(**changes))
    assert answer.status_code == 202, answer.text
    made = json_of(answer)["id"]
    found = json_of(door.client.get(f"/api/v1/comments/{made}", headers=bearer(door.key)))
    signals: dict[str, Any] = found["signals"]
    return signals


def test_what_was_shown_is_a_signal_and_no_error(door: Door) -> None:
    payload = unsolved(ask(door))

    signed, used = (stored(door, altcha=payload, body=body) for body in ("One.", "Another."))
    broken, missing = stored(door, altcha="x"), stored(door)

    assert signed["challenge"] == "signed"
    assert 0 <= signed["written_ms"] < 120_000
    assert (used["challenge"], used["written_ms"]) == ("used", None)
    assert (broken["challenge"], missing["challenge"]) == ("broken", "missing")


def test_a_program_with_a_key_is_asked_for_none(door: Door) -> None:
    answer = door.client.post(
        "/api/v1/sites/blog/comments", json=make_body(), headers=bearer(door.key)
    )

    seen = door.client.get(f"/api/v1/comments/{json_of(answer)['id']}", headers=bearer(door.key))
    assert json_of(seen)["signals"]["challenge"] is None


def test_a_proof_is_asked_for_when_the_policy_says_so(
    make_app: Callable[..., flask.Flask],
) -> None:
    app = make_app()
    database = database_of(app)
    site = make_site(database)
    other = make_site(database, "other")
    with database.transaction() as session:
        sites.set_policy(session, site.id, Policy(proof_of_work=ProofOfWork.STORM))
        sites.set_policy(session, other.id, Policy(proof_of_work=ProofOfWork.ALWAYS))

    def asked(slug: str) -> bool:
        answer = app.test_client().get(f"/api/v1/sites/{slug}/challenge")
        return bool(json_of(answer)["parameters"]["data"]["proof"])

    assert (asked("blog"), asked("other")) == (False, True)
    with database.transaction() as session:
        storms.begin(session, site.id, storms.Evidence(99), actor=storms.WATCH)
    assert asked("blog")


def test_a_comment_without_the_proof_is_held_with_the_reason(
    client: FlaskClient, database: Database, settings: Settings, scorer: Scorer
) -> None:
    site = make_site(database)
    key = make_key(database, site)
    with database.transaction() as session:
        sites.set_policy(session, site.id, Policy(proof_of_work=ProofOfWork.ALWAYS))

    made = json_of(post(client, make_body()))["id"]
    classification.drain(database, scorer, settings)

    seen = json_of(client.get(f"/api/v1/comments/{made}", headers=bearer(key)))
    assert seen["status"] == "pending"
    assert seen["decision"]["rule"] == "no_proof"
    assert seen["decision"]["reason"] == "it came without a proof of work"
