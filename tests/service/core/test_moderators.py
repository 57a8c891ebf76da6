"""Moderators: accounts, passwords, sessions, links and back-off, without a browser."""

import threading
from collections.abc import Callable
from datetime import timedelta

import argon2
import pytest
from sqlalchemy import func, select, update

from service.base.errors import Invalid, NotFound, RateLimited, Unauthenticated
from service.core import moderators
from service.core.changes import OPERATOR
from service.core.moderators import FIRST_OWNER, Person, Role, backoff, passwords
from service.core.moderators.tables import Moderator, OneTimeLink, SignedIn, SignInAttempts
from service.core.sites import SiteView
from service.ledger.db import Database, utc_now
from tests.browsing import PASSWORD, make_moderator
from tests.cast import make_site

ADA = "ada@example.org"
NETWORK = "192.0.2.1"
HOUR = timedelta(hours=1)


def sign_in(
    database: Database,
    email: str = ADA,
    password: str = PASSWORD,
    *,
    network: str = NETWORK,
    device: str | None = None,
) -> str:
    return moderators.sign_in(database, email, password, network=network, device=device)


def person(database: Database, cookie: str) -> Person:
    found = moderators.session_of(database, cookie)
    assert found is not None
    return found


def first_token(database: Database, site: SiteView | None = None, email: str = ADA) -> str:
    with database.transaction() as session:
        site_id = site.id if site else None
        made = moderators.create(session, email, site_id=site_id, role=Role.OWNER)
        token = moderators.first_link(session, made)
    assert token is not None
    return token


def test_a_person_is_told_with_name_address_and_roles_by_site(database: Database) -> None:
    blog, shop, other = (make_site(database, slug) for slug in ("blog", "shop", "other"))
    made = make_moderator(database, blog, Role.OWNER)
    with database.transaction() as session:
        moderators.create(session, "ADA@example.org", site_id=shop.id, role=Role.VIEWER)

    found = person(database, sign_in(database))

    assert (found.id, found.name, found.email) == (made, "ada", ADA)
    assert found.roles == {blog.id: Role.OWNER, shop.id: Role.VIEWER}
    assert found.actor == f"moderator:{made}"
    assert found.may(shop.id, Role.VIEWER)
    assert not found.may(shop.id, Role.MODERATOR)
    assert not found.may(other.id, Role.VIEWER)


@pytest.mark.parametrize("role", Role)
def test_a_role_covers_those_below_it(role: Role) -> None:
    covered = {
        Role.VIEWER: {Role.VIEWER},
        Role.MODERATOR: {Role.VIEWER, Role.MODERATOR},
        Role.OWNER: set(Role),
    }

    assert {other for other in Role if role.covers(other)} == covered[role]


@pytest.mark.parametrize("email", ["ADA@EXAMPLE.ORG", " ada@example.org ", "Ada@Example.org"])
def test_an_address_is_one_however_it_is_written(database: Database, email: str) -> None:
    made = make_moderator(database)

    assert person(database, sign_in(database, email)).id == made
    with database.transaction() as session:
        assert moderators.create(session, email, role=Role.VIEWER) == made


@pytest.mark.parametrize(
    "email", ["", "ada", "ada@", "ada@example.org\nBcc: x", "a" * 300 + "@b.c"]
)
def test_what_is_no_address_is_refused(database: Database, email: str) -> None:
    with database.transaction() as session, pytest.raises(Invalid) as refusal:
        moderators.create(session, email, role=Role.VIEWER)

    assert [fault.pointer for fault in refusal.value.errors] == ["/email"]


def test_nothing_that_is_kept_could_be_used_to_sign_in(database: Database) -> None:
    token = first_token(database)
    with database.reading() as session:
        assert token not in session.scalars(select(OneTimeLink.digest)).all()
    cookie = moderators.accept(database, token, password=PASSWORD, name="Ada")
    with database.reading() as session:
        assert cookie not in session.scalars(select(SignedIn.digest)).all()
        kept = session.scalars(select(Moderator.password)).one()

    assert kept is not None
    assert kept.startswith("$argon2id$")
    assert PASSWORD not in kept


def test_a_password_costs_whoever_guesses_what_owasp_asks_for(
    shipped_hasher: argon2.PasswordHasher,
) -> None:
    """19 MiB and two passes, by its Password Storage Cheat Sheet."""
    parameters = argon2.extract_parameters(shipped_hasher.hash(PASSWORD))

    assert parameters.type is argon2.Type.ID
    assert parameters.memory_cost >= 19 * 1024
    assert parameters.time_cost >= 2


@pytest.mark.parametrize(
    "password",
    [
        *("", "short", "eleven char", "aaaaaaaaaaaaaaaa", "abababababab", "x" * 257),
        *("ada@example.org", "ADA@EXAMPLE.ORG", "AdaAdaAdaAdaAda"),
    ],
)
def test_a_password_that_is_easily_guessed_is_refused(database: Database, password: str) -> None:
    token = first_token(database)

    with pytest.raises(Invalid) as refusal:
        moderators.accept(database, token, password=password, name="Ada")

    assert [fault.pointer for fault in refusal.value.errors] == ["/password"]
    with database.reading() as session:  # the link still works
        assert moderators.look(session, token).email == ADA


@pytest.mark.parametrize(
    "password", ["correct horse", "пароль из слов", "  blanks  count  ", "é" * 3 + "abcdefghi"]
)
def test_any_long_password_is_taken_and_works(database: Database, password: str) -> None:
    make_moderator(database, password=password)

    sign_in(database, password=password)
    with pytest.raises(Unauthenticated):
        sign_in(database, password=password + " ")


def test_a_password_is_one_however_its_accents_are_composed(database: Database) -> None:
    make_moderator(database, password="caf\u00e9 au lait, s'il vous pla\u00eet")

    sign_in(database, password="cafe\u0301 au lait, s'il vous plai\u0302t")


def test_all_reasons_not_to_sign_in_look_alike_and_cost_the_same(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site(database)
    make_moderator(database, site)
    first_token(database, site, email="nopassword@example.org")
    removed = make_moderator(database, email="removed@example.org")
    with database.transaction() as session:
        moderators.close(session, removed)
    verified: list[str] = []
    verify = argon2.PasswordHasher.verify

    def watched(self: argon2.PasswordHasher, kept: str, password: bytes) -> bool:
        verified.append(kept)
        return bool(verify(self, kept, password))

    monkeypatch.setattr(argon2.PasswordHasher, "verify", watched)
    said = set()
    for email in (ADA, "nopassword@example.org", "removed@example.org", "nobody@example.org", ""):
        with pytest.raises(Unauthenticated) as refusal:
            sign_in(database, email, "wrong password")
        said.add(str(refusal.value))

    assert len(said) == 1
    assert len(verified) == 5
    assert len({argon2.extract_parameters(kept).memory_cost for kept in verified}) == 1
    assert len({argon2.extract_parameters(kept).time_cost for kept in verified}) == 1


def test_a_hash_with_other_parameters_is_made_anew_at_sign_in(database: Database) -> None:
    made = make_moderator(database)
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    with database.transaction() as session:
        session.execute(update(Moderator).where(Moderator.id == made).values(password=weak))

    sign_in(database)

    with database.reading() as session:
        kept = session.get_one(Moderator, made).password
    assert kept is not None
    assert kept != weak
    assert not passwords.is_outdated(kept)
    sign_in(database)


def test_each_sign_in_opens_a_session_of_its_own(database: Database) -> None:
    make_moderator(database)
    first, second = sign_in(database), sign_in(database)

    assert first != second
    assert person(database, first).session_id != person(database, second).session_id
    with database.transaction() as session:
        moderators.sign_out(session, first)
    assert moderators.session_of(database, first) is None
    assert moderators.session_of(database, second) is not None


@pytest.mark.parametrize("cookie", ["", "nonsense", "x" * 5000, "\x00", "\ud800"])
def test_what_is_no_session_is_nobodys(database: Database, cookie: str) -> None:
    assert moderators.session_of(database, cookie) is None


def test_a_session_ends_when_it_is_not_used_for_two_weeks(database: Database) -> None:
    make_moderator(database)
    cookie, now = sign_in(database), utc_now()
    for day in (13, 26, 39):
        assert moderators.session_of(database, cookie, now=now + timedelta(days=day)) is not None

    assert moderators.session_of(database, cookie, now=now + timedelta(days=54)) is None


def test_a_session_ends_after_ninety_days_however_much_it_is_used(database: Database) -> None:
    make_moderator(database)
    cookie, now = sign_in(database), utc_now()
    for day in range(10, 90, 10):
        assert moderators.session_of(database, cookie, now=now + timedelta(days=day)) is not None

    assert moderators.session_of(database, cookie, now=now + timedelta(days=91)) is None


def test_ended_sessions_are_forgotten(database: Database) -> None:
    make_moderator(database)
    old = utc_now() - timedelta(days=100)
    moderators.sign_in(database, ADA, PASSWORD, network=NETWORK, now=old)
    sign_in(database)

    with database.reading() as session:
        assert session.scalars(select(func.count()).select_from(SignedIn)).one() == 1


def test_sign_out_everywhere_ends_all_of_ones_sessions_and_nobody_elses(database: Database) -> None:
    made = make_moderator(database)
    make_moderator(database, email="bob@example.org")
    mine, theirs = [sign_in(database) for _ in range(2)], sign_in(database, "bob@example.org")
    with database.transaction() as session:
        moderators.sign_out_everywhere(session, made)

    assert [moderators.session_of(database, cookie) for cookie in mine] == [None, None]
    assert moderators.session_of(database, theirs) is not None


def test_one_cannot_end_a_session_of_somebody_else(database: Database) -> None:
    make_moderator(database)
    other = make_moderator(database, email="bob@example.org")
    cookie = sign_in(database)
    with database.transaction() as session:
        moderators.end_session(session, other, person(database, cookie).session_id)

    assert moderators.session_of(database, cookie) is not None


def test_a_changed_role_counts_at_once_in_open_sessions(database: Database) -> None:
    site = make_site(database)
    make_moderator(database, site, Role.OWNER, email="owner@example.org")
    made = make_moderator(database, site, Role.MODERATOR)
    cookie = sign_in(database)
    with database.transaction() as session:
        moderators.set_role(session, site.id, made, Role.VIEWER, actor=OPERATOR)
    assert person(database, cookie).roles == {site.id: Role.VIEWER}

    with database.transaction() as session:
        moderators.remove(session, site.id, made, actor=OPERATOR)
    assert person(database, cookie).roles == {}

    with database.transaction() as session:
        moderators.close(session, made)
    assert moderators.session_of(database, cookie) is None


@pytest.mark.parametrize("way", ["demote", "remove", "close", "create"])
def test_the_last_owner_stays(database: Database, way: str) -> None:
    site = make_site(database)
    made = make_moderator(database, site, Role.OWNER)
    make_moderator(database, site, Role.MODERATOR, email="bob@example.org")

    def act() -> None:
        with database.transaction() as session:
            if way == "demote":
                moderators.set_role(session, site.id, made, Role.MODERATOR, actor=OPERATOR)
            elif way == "remove":
                moderators.remove(session, site.id, made, actor=OPERATOR)
            elif way == "close":
                moderators.close(session, made)
            else:
                moderators.create(session, ADA, site_id=site.id, role=Role.VIEWER)

    with pytest.raises(Invalid):
        act()
    with database.reading() as session:
        roles = {m.email: m.role for m in moderators.members(session, site.id)}
    assert roles == {ADA: Role.OWNER, "bob@example.org": Role.MODERATOR}

    make_moderator(database, site, Role.OWNER, email="eve@example.org")
    act()


def test_of_two_owners_who_demote_each_other_at_once_one_stays(database: Database) -> None:
    site = make_site(database)
    owners = [
        make_moderator(database, site, Role.OWNER, email=f"{name}@example.org") for name in "ab"
    ]
    refused: list[Exception] = []
    together = threading.Barrier(2)

    def demote(moderator_id: str) -> None:
        together.wait()
        try:
            with database.transaction() as session:
                moderators.set_role(session, site.id, moderator_id, Role.VIEWER, actor=OPERATOR)
        except Invalid as error:
            refused.append(error)

    threads = [threading.Thread(target=demote, args=(one,)) for one in owners]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(refused) == 1
    with database.reading() as session:
        roles = sorted(m.role for m in moderators.members(session, site.id))
    assert roles == [Role.OWNER, Role.VIEWER]


def test_a_link_works_once_even_for_two_at_the_same_moment(database: Database) -> None:
    token = first_token(database)
    ended: list[str] = []
    together = threading.Barrier(3)

    def use() -> None:
        together.wait()
        try:
            moderators.accept(database, token, password=PASSWORD, name="Ada")
            ended.append("in")
        except (NotFound, Unauthenticated):
            ended.append("refused")

    threads = [threading.Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(ended) == ["in", "refused", "refused"]


def test_looking_at_a_link_does_not_use_it(database: Database) -> None:
    token = first_token(database)
    for _ in range(3):
        with database.reading() as session:
            assert moderators.look(session, token).email == ADA

    moderators.accept(database, token, password=PASSWORD, name="Ada")
    with database.reading() as session, pytest.raises(NotFound):
        moderators.look(session, token)


@pytest.mark.parametrize(
    ("make", "lasts"),
    [
        (lambda session, site: moderators.reset(session, ADA), timedelta(days=1)),
        (
            lambda session, site: moderators.invite(
                session, site.id, "new@example.org", Role.VIEWER, actor=OPERATOR
            ),
            timedelta(days=7),
        ),
    ],
    ids=["reset", "invitation"],
)
def test_a_link_ends_by_itself_and_when_a_newer_one_is_made(
    database: Database, make: Callable[..., str], lasts: timedelta
) -> None:
    site = make_site(database)
    make_moderator(database, site, Role.OWNER)
    with database.transaction() as session:
        older, newer = make(session, site), make(session, site)
    now = utc_now()
    with database.reading() as session:
        with pytest.raises(NotFound):
            moderators.look(session, older)
        assert moderators.look(session, newer, now=now + lasts - HOUR)
        with pytest.raises(NotFound):
            moderators.look(session, newer, now=now + lasts + HOUR)

    with pytest.raises(NotFound):
        moderators.accept(database, newer, password=PASSWORD, name="Ada", now=now + lasts + HOUR)


def test_a_new_password_ends_the_old_one_and_all_it_had_opened(database: Database) -> None:
    make_moderator(database)
    cookie = sign_in(database)
    with database.transaction() as session:
        token = moderators.reset(session, ADA)
    assert moderators.session_of(database, cookie) is not None  # until the link is used

    renewed = moderators.accept(database, token, password="another horse battery")

    assert moderators.session_of(database, cookie) is None
    assert person(database, renewed).name == "ada"
    with pytest.raises(Unauthenticated):
        sign_in(database)
    sign_in(database, password="another horse battery")


def test_a_changed_password_needs_the_present_one_and_rotates_the_session(
    database: Database,
) -> None:
    make_moderator(database)
    here, elsewhere = sign_in(database), sign_in(database)
    who = person(database, here)
    with pytest.raises(Invalid) as refusal:
        moderators.change_password(database, who, "wrong", "a new horse battery", network=NETWORK)
    assert [fault.pointer for fault in refusal.value.errors] == ["/current"]

    renewed = moderators.change_password(
        database, who, PASSWORD, "a new horse battery", network=NETWORK
    )

    assert moderators.session_of(database, here) is None
    assert moderators.session_of(database, elsewhere) is None
    assert person(database, renewed).session_id != who.session_id


def test_an_invited_newcomer_joins_by_choosing_a_password(database: Database) -> None:
    site = make_site(database)
    with database.transaction() as session:
        token = moderators.invite(
            session, site.id, "new@example.org", Role.MODERATOR, actor=OPERATOR
        )
        assert moderators.members(session, site.id) == []
        assert [i.email for i in moderators.invitations(session, site.id)] == ["new@example.org"]

    cookie = moderators.accept(database, token, password=PASSWORD, name="New")

    assert person(database, cookie).roles == {site.id: Role.MODERATOR}
    with database.reading() as session:
        assert moderators.invitations(session, site.id) == []


def test_an_invitation_gives_nobody_an_account_that_is_in_use(database: Database) -> None:
    blog, shop = make_site(database, "blog"), make_site(database, "shop")
    make_moderator(database, blog, Role.OWNER)
    with database.transaction() as session:
        token = moderators.invite(session, shop.id, ADA, Role.VIEWER, actor=OPERATOR)

    with pytest.raises(Unauthenticated):
        moderators.accept(database, token, password="of the inviting owner", name="Eve")

    make_moderator(database, shop, Role.OWNER, email="eve@example.org")
    eve = person(database, sign_in(database, "eve@example.org"))
    with pytest.raises(Unauthenticated):
        moderators.join(database, token, eve)

    before = sign_in(database)
    renewed = moderators.join(database, token, person(database, before))
    assert person(database, renewed).roles == {blog.id: Role.OWNER, shop.id: Role.VIEWER}
    assert moderators.session_of(database, before) is None


def test_a_member_cannot_be_invited_and_an_invitation_can_be_withdrawn(database: Database) -> None:
    site = make_site(database)
    make_moderator(database, site)
    with database.transaction() as session, pytest.raises(Invalid):
        moderators.invite(session, site.id, ADA, Role.OWNER, actor=OPERATOR)
    with database.transaction() as session:
        token = moderators.invite(session, site.id, "new@example.org", Role.VIEWER, actor=OPERATOR)
        made = moderators.find(session, "new@example.org").id
        moderators.withdraw(session, site.id, made, actor=OPERATOR)
        with pytest.raises(NotFound):
            moderators.look(session, token)
        with pytest.raises(NotFound):
            moderators.withdraw(session, site.id, made, actor=OPERATOR)


def test_the_first_owner_brings_an_address_of_their_own(database: Database) -> None:
    site = make_site(database)
    make_moderator(database, email="taken@example.org")
    token = first_token(database, site, FIRST_OWNER)
    for email in (None, "", FIRST_OWNER, "taken@example.org"):
        with pytest.raises(Invalid) as refusal:
            moderators.accept(database, token, password=PASSWORD, name="Ada", email=email)
        assert [fault.pointer for fault in refusal.value.errors] == ["/email"]

    cookie = moderators.accept(database, token, password=PASSWORD, name="Ada", email=ADA)

    assert person(database, cookie).email == ADA
    assert person(database, sign_in(database)).roles == {site.id: Role.OWNER}


def test_tries_are_delayed_more_and_more_and_never_for_good(database: Database) -> None:
    make_moderator(database)
    now, waits = utc_now(), []
    for _ in range(20):
        try:
            moderators.sign_in(database, ADA, "wrong password", network=NETWORK, now=now)
        except RateLimited as refusal:
            waits.append(refusal.retry_after_seconds)
            now += timedelta(seconds=refusal.retry_after_seconds)
        except Unauthenticated:
            pass  # looked at, and wrong

    assert waits[:5] == [1, 2, 4, 8, 16]
    assert max(waits) <= 300
    # After the delay the right password works, whatever was tried before.
    now += timedelta(seconds=300)
    assert moderators.sign_in(database, ADA, PASSWORD, network=NETWORK, now=now)
    assert sign_in(database)  # and the count begins anew


def test_a_try_that_comes_too_early_is_not_looked_at_and_costs_nothing(database: Database) -> None:
    make_moderator(database)
    now = utc_now()
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            moderators.sign_in(database, ADA, "wrong password", network=NETWORK, now=now)
    for _ in range(20):
        with pytest.raises(RateLimited) as refusal:
            moderators.sign_in(database, ADA, PASSWORD, network=NETWORK, now=now)
        assert refusal.value.retry_after_seconds == 1

    assert moderators.sign_in(
        database, ADA, PASSWORD, network=NETWORK, now=now + timedelta(seconds=1)
    )


def test_unknown_accounts_are_delayed_like_known_ones(database: Database) -> None:
    make_moderator(database)
    now, looked_at = utc_now(), []
    for number, email in enumerate((ADA, "nobody@example.org")):
        count = 0
        try:
            for _ in range(10):
                try:
                    moderators.sign_in(
                        database, email, "wrong password", network=f"192.0.2.{number}", now=now
                    )
                except Unauthenticated:
                    count += 1
        except RateLimited:
            looked_at.append(count)

    assert looked_at == [5, 5]


def test_a_known_browser_gets_in_while_strangers_try(database: Database) -> None:
    make_moderator(database)
    for number in range(5):
        with pytest.raises(Unauthenticated):
            sign_in(database, password="wrong password", network=f"198.51.100.{number}")
    with pytest.raises(RateLimited):
        sign_in(database)

    assert sign_in(database, device="this browser")


def test_an_address_that_tries_many_accounts_is_delayed_for_all(database: Database) -> None:
    make_moderator(database)
    for number in range(30):
        backoff.admit(database, [backoff.account(f"{number}"), backoff.address(NETWORK)])

    with pytest.raises(RateLimited):
        sign_in(database)
    assert sign_in(database, network="198.51.100.1")


def test_a_burst_of_tries_at_once_is_counted_whole(database: Database) -> None:
    subjects = [backoff.account("ada"), backoff.address(NETWORK)]
    admitted: list[bool] = []
    together = threading.Barrier(10)

    def attempt() -> None:
        together.wait()
        try:
            backoff.admit(database, subjects)
            admitted.append(True)
        except RateLimited:
            admitted.append(False)

    threads = [threading.Thread(target=attempt) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    # One more than the free ones, should the whole burst take longer than the first delay.
    assert 5 <= sum(admitted) <= 6


def test_failures_are_forgotten_after_a_day(database: Database) -> None:
    now = utc_now()
    for _ in range(5):
        backoff.admit(database, [backoff.account("ada")], now=now)
    backoff.admit(database, [backoff.account("bob")], now=now + timedelta(days=2))

    with database.reading() as session:
        assert session.scalars(select(func.count()).select_from(SignInAttempts)).one() == 1


def test_a_removed_moderator_can_be_brought_back_and_starts_anew(database: Database) -> None:
    site = make_site(database)
    made = make_moderator(database, site)
    with database.transaction() as session:
        moderators.close(session, made)
        with pytest.raises(NotFound):
            moderators.reset(session, ADA)
    with pytest.raises(Unauthenticated):
        sign_in(database)

    token = first_token(database, site)
    cookie = moderators.accept(database, token, password=PASSWORD, name="Ada")

    assert person(database, cookie).id == made
    assert person(database, cookie).roles == {site.id: Role.OWNER}
