"""Sites and keys: what they may be called, whose a key is, and when it ends."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from service.base.errors import Invalid, NotFound, Unauthenticated
from service.core import sites
from service.core.sites import Scope, SiteView
from service.ledger import db
from service.ledger.db import Database, utc_now
from service.ledger.models import ApiKey, SettingChange
from service.pure.policy import Policy
from service.serving import access
from tests.cast import make_key, make_site
from tests.conftest import Door


@pytest.mark.parametrize("slug", ["a", "1", "my-blog", "a--b", "x" * 63])
def test_a_slug_of_letters_digits_and_inner_hyphens_is_taken(door: Door, slug: str) -> None:
    site = make_site(door.database, slug)

    assert (site.slug, site.name) == (slug, slug)
    with door.database.reading() as session:
        assert sites.find(session, slug) == sites.find_by_id(session, site.id) == site


@pytest.mark.parametrize(
    "slug", ["", "-a", "a-", "A", "a b", "a.b", "a_b", "ä", "a/b", "x" * 64, "a\n", "%2e", "٣"]
)
def test_any_other_slug_is_refused(door: Door, slug: str) -> None:
    with pytest.raises(Invalid) as refusal:
        make_site(door.database, slug)

    assert [fault.pointer for fault in refusal.value.errors] == ["/slug"]


def test_a_slug_that_is_taken_is_refused(door: Door) -> None:
    make_site(door.database, "taken")

    with pytest.raises(Invalid):
        make_site(door.database, "taken")


def test_of_two_who_make_a_site_at_once_one_is_told(door: Door) -> None:
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda _: _attempt(door), range(8)))

    assert sorted(outcomes) == [*["/slug"] * 7, "made"]


def _attempt(door: Door) -> str:
    try:
        make_site(door.database, "raced")
    except Invalid as refusal:
        return " ".join(fault.pointer for fault in refusal.errors)
    return "made"


def test_new_origins_are_noted_for_good(door: Door) -> None:
    with door.database.transaction() as session:
        sites.set_origins(session, door.site.id, ["https://new.example"], actor="operator")

    with door.database.reading() as session:
        assert sites.find(session, door.site.slug).origins == {"https://new.example"}
        (noted,) = session.scalars(select(SettingChange).where(SettingChange.setting == "origins"))
    assert (noted.before, noted.after) == (sorted(door.site.origins), ["https://new.example"])


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("https://example.org", "https://example.org"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("https://example.org:443", "https://example.org"),
        ("http://example.org:80", "http://example.org"),
        ("http://example.org:443", "http://example.org:443"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
    ],
)
def test_an_origin_is_kept_as_browsers_send_it(door: Door, written: str, kept: str) -> None:
    with door.database.transaction() as session:
        found = sites.create(session, f"o-{abs(hash(written))}", origins=[written, written])

    assert found.origins == {kept}


def test_what_is_no_origin_is_refused_each_by_itself(door: Door) -> None:
    bad = [
        "*", "null", "", "example.org", "https://", "https://example.org/", "https://Example.org",
        "https://example.org/x", "ftp://example.org", "https://a@example.org", "https://*.x.org",
        "https://example.org\n", "https://bücher.example", "https://example.org:x",
    ]  # fmt: skip

    with pytest.raises(Invalid) as refusal:
        make_site(door.database, "origins", origins=["https://example.org", *bad])

    assert [fault.pointer for fault in refusal.value.errors] == [
        f"/origins/{number}" for number in range(1, len(bad) + 1)
    ]


def test_a_site_that_is_not_there_is_not_found(door: Door) -> None:
    with door.database.reading() as session:
        with pytest.raises(NotFound):
            sites.find(session, "nowhere")
        with pytest.raises(NotFound):
            sites.find_by_id(session, "sit_none")


def test_a_key_is_its_sites_with_its_scopes(door: Door) -> None:
    for scopes in ({Scope.SUBMIT}, {Scope.MODERATE}, {Scope.SUBMIT, Scope.MODERATE}):
        key = make_key(door.database, door.site, scopes)
        with door.database.reading() as session:
            view = sites.authenticate(session, key)
        assert view.site_id == door.site.id
        assert view.scopes == frozenset(scopes)


def test_of_a_key_only_its_hash_is_kept(door: Door) -> None:
    key = make_key(door.database, door.site)
    secret = key.split("_", 2)[2]

    with door.database.reading() as session:
        rows = list(session.scalars(select(ApiKey)))
    kept = " ".join(str(vars(row)) for row in rows)

    assert secret not in kept
    assert len({row.digest for row in rows}) == len(rows)


def test_what_is_not_quite_a_key_is_none(door: Door) -> None:
    key = make_key(door.database, door.site)
    other = make_key(door.database, door.site)
    prefix, key_id, secret = key.split("_", 2)
    wrong = [
        "", "_", "__", "hg", "hg__", f"hg_{key_id}", f"hg_{key_id}_", key[:-1], f"{key}x",
        key.upper(), f"xx_{key_id}_{secret}", f"{prefix}_{other.split('_')[1]}_{secret}",
        f" {key}", f"hg_key_{key_id}_{secret}", "hg_é_x", "hg_\x00_x", f"hg_{key_id}_é", "\ud800",
    ]  # fmt: skip

    for attempt in wrong:
        with door.database.reading() as session, pytest.raises(Unauthenticated):
            sites.authenticate(session, attempt)


def test_a_revoked_key_is_none_and_stays_revoked(door: Door) -> None:
    site = make_site(door.database, "revoked")
    key, other = make_key(door.database, site), make_key(door.database, site)
    with door.database.transaction() as session:
        first = sites.authenticate(session, key)
        sites.revoke_key(session, site.id, first.id)

    with door.database.reading() as session:
        with pytest.raises(Unauthenticated, match="revoked"):
            sites.authenticate(session, key)
        assert sites.authenticate(session, other).site_id == site.id
        states = {one.id: one.revoked_at is not None for one in sites.keys(session, site.id)}
    assert sum(states.values()) == 1
    assert states[first.id]
    with door.database.transaction() as session, pytest.raises(NotFound):
        sites.revoke_key(session, site.id, first.id)


def test_a_key_of_another_site_cannot_be_revoked(door: Door) -> None:
    key = make_key(door.database, door.site)
    other = make_site(door.database, "revoker")

    with door.database.transaction() as session:
        view = sites.authenticate(session, key)
        with pytest.raises(NotFound):
            sites.revoke_key(session, other.id, view.id)
        assert sites.authenticate(session, key) == view


def test_a_policy_takes_the_place_of_the_one_before(door: Door) -> None:
    site = make_site(door.database, "policy")
    assert site.policy == Policy()
    policy = Policy.model_validate({"banned_networks": ["192.0.2.0/24"], "premoderation": True})

    with door.database.transaction() as session:
        sites.set_policy(session, site.id, policy)

    with door.database.reading() as session:
        assert sites.find(session, "policy").policy == policy
        assert sites.find_by_id(session, door.site.id).policy == Policy()


def test_all_sites_are_listed_by_slug(door: Door) -> None:
    for slug in ("zzz", "aaa"):
        make_site(door.database, slug)

    with door.database.reading() as session:
        slugs = [site.slug for site in sites.listing(session)]

    assert slugs == sorted(slugs)
    assert {"aaa", "blog", "zzz"} <= set(slugs)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the ledger wait for no lock, and keys be looked up for each request."""
    at_once = f"{db._POSTGRES_CONNECTION['options']} -c lock_timeout=50"
    monkeypatch.setitem(db._POSTGRES_CONNECTION, "options", at_once)
    monkeypatch.setattr(db, "_SQLITE_BUSY_MS", 50)
    monkeypatch.setattr(access, "_REMEMBER_SECONDS", 0.0)


@pytest.mark.usefixtures("impatient")
def test_the_use_of_a_key_is_noted_once_for_many_requests(
    database: Database, client: FlaskClient
) -> None:
    site = make_site(database)
    key = make_key(database, site)
    assert used_at(database, site) is None

    first = ask(client, database, site, key)

    assert first is not None
    assert abs(first - utc_now()) < timedelta(minutes=1)
    assert ask(client, database, site, key) == first


@pytest.mark.usefixtures("impatient")
def test_a_key_is_let_in_while_its_use_cannot_be_noted(
    database: Database, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(database)
    key = make_key(database, site)

    with database.transaction() as session:
        session.execute(select(ApiKey).with_for_update())
        assert ask(client, database, site, key) is None

    assert "could not note that key_" in caplog.text


def ask(client: FlaskClient, database: Database, site: SiteView, key: str) -> datetime | None:
    """Have a key used, and tell when it was, as far as is known."""
    answer = client.get("/api/v1/sites/blog/comments", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200
    return used_at(database, site)


def used_at(database: Database, site: SiteView) -> datetime | None:
    with database.reading() as session:
        (key,) = sites.keys(session, site.id)
        return key.used_at
