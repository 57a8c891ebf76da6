"""`hamgate moderator …`: links alone on standard output, and what is refused."""

from collections.abc import Callable, Iterator

import pytest

from service.base.config import Settings
from service.core import moderators
from service.ledger.db import Database, utc_now
from service.operations.up import _sign_in_link
from tests.browsing import PASSWORD, make_moderator
from tests.cast import make_site, open_ledger
from tests.service.conftest import Ended

LINK = "http://localhost:8000/dashboard/link?token="
ADA = "ada@example.org"
Command = Callable[..., Ended]


@pytest.fixture
def ledger(installed: Settings) -> Iterator[Database]:
    """The ledger of the installation, with the site `blog`."""
    opened = open_ledger(installed)
    make_site(opened)
    yield opened
    opened.close()


def create(command: Command, email: str = ADA, role: str = "owner") -> Ended:
    return command("moderator", "create", email, "--site", "blog", "--role", role)


def test_create_prints_a_link_alone_that_lets_the_person_in(
    command: Command, ledger: Database
) -> None:
    ended = create(command)

    assert (ended.code, ended.out.count("\n")) == (0, 1)
    assert ended.out.startswith(LINK)
    assert "ada@example.org is owner of blog" in ended.err
    token = ended.out.strip().removeprefix(LINK)
    assert moderators.accept(ledger, token, password=PASSWORD, name="Ada")


def test_create_for_who_has_an_account_adds_the_role_and_leaves_the_account(
    command: Command, ledger: Database
) -> None:
    make_moderator(ledger)
    ended = create(command, role="viewer")

    assert ended.out == "http://localhost:8000/dashboard/sign-in\n"
    with ledger.reading() as session:
        assert moderators.find(session, ADA).roles == {"blog": "viewer"}
    assert moderators.sign_in(ledger, ADA, PASSWORD, network="-")


def test_the_link_has_the_public_address(command: Command, ledger: Database) -> None:
    ended = command(
        *("moderator", "create", ADA, "--site", "blog", "--role", "owner"),
        HAMGATE_URL="https://comments.example.org",
    )

    assert ended.out.startswith("https://comments.example.org/dashboard/link?token=")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("create", "ada", "--site", "blog", "--role", "owner"), 1, "error: email: "),
        (("create", ADA, "--site", "none", "--role", "owner"), 1, "there is no site “none”"),
        (("create", ADA, "--site", "blog", "--role", "king"), 2, "--role"),
        (("create", ADA, "--site", "blog"), 2, "--role"),
        (("reset", "nobody@example.org"), 1, "there is no moderator “nobody@example.org”"),
        (("remove", "nobody@example.org"), 1, "there is no moderator “nobody@example.org”"),
    ],
)
def test_what_cannot_be_done_is_told(
    command: Command, ledger: Database, arguments: tuple[str, ...], code: int, says: str
) -> None:
    ended = command("moderator", *arguments)

    assert (ended.code, ended.out) == (code, "")
    assert says in ended.err


def test_list_shows_each_with_roles_and_last_sign_in(command: Command, ledger: Database) -> None:
    assert "no moderators yet" in command("moderator", "list").err
    make_moderator(ledger, email="bob@example.org")
    create(command)
    command("moderator", "remove", "bob@example.org")

    today = f"{utc_now():%Y-%m-%d}"
    assert command("moderator", "list").out.splitlines() == [
        "ada@example.org\tada\tblog:owner\tnot yet",
        f"bob@example.org\tbob\t(no site)\tremoved {today}",
    ]


def test_reset_prints_a_link_alone_with_which_a_new_password_is_set(
    command: Command, ledger: Database
) -> None:
    make_moderator(ledger)
    ended = command("moderator", "reset", "ADA@example.org")

    assert (ended.code, ended.out.count("\n")) == (0, 1)
    token = ended.out.strip().removeprefix(LINK)
    moderators.accept(ledger, token, password="another horse battery")
    assert moderators.sign_in(ledger, ADA, "another horse battery", network="-")


def test_remove_takes_somebody_off_one_site_or_ends_the_account(
    command: Command, ledger: Database
) -> None:
    make_moderator(ledger)
    create(command, "bob@example.org")
    create(command, role="moderator")

    assert command("moderator", "remove", ADA, "--site", "blog").out == (
        "removed ada@example.org from blog\n"
    )
    with ledger.reading() as session:
        assert moderators.find(session, ADA).disabled_at is None
    assert command("moderator", "remove", ADA).out == "removed ada@example.org\n"
    with ledger.reading() as session:
        assert moderators.find(session, ADA).disabled_at is not None


def test_the_last_owner_is_not_removed(command: Command, ledger: Database) -> None:
    create(command)

    for arguments in ((), ("--site", "blog")):
        ended = command("moderator", "remove", ADA, *arguments)
        assert ended.code == 1
        assert "only owner" in ended.err


def test_up_makes_a_first_owner_until_somebody_has_signed_in(installed: Settings) -> None:
    ledger = open_ledger(installed)
    assert _sign_in_link(installed) == ""  # there is no site to own
    make_site(ledger, "demo")
    first, second = _sign_in_link(installed), _sign_in_link(installed)
    assert first != second

    token = second.removeprefix(LINK)
    moderators.accept(ledger, token, password=PASSWORD, name="Ada", email=ADA)

    assert _sign_in_link(installed) == ""
    with ledger.reading() as session:
        assert moderators.find(session, ADA).roles == {"demo": "owner"}
    ledger.close()


def test_up_makes_nobody_where_an_operator_has_made_moderators(
    command: Command, ledger: Database, installed: Settings
) -> None:
    make_site(ledger, "demo")
    create(command)

    assert _sign_in_link(installed) == ""
