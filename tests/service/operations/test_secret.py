"""The secret can be changed, and nobody's receipt is void for it before its time."""

from collections.abc import Callable
from pathlib import Path

import flask
import pytest

from service.app import create_app
from service.base.config import Settings, from_environ
from service.base.errors import ConfigError
from tests.cast import json_of, make_body, make_site, open_ledger, post
from tests.conftest import database_of
from tests.service.conftest import Ended

OLD, NEW = "o" * 40, "n" * 40


def receipt_of(app: flask.Flask) -> tuple[str, str]:
    answer = json_of(post(app.test_client(), make_body()))
    return answer["id"], answer["receipt"]


def is_believed(app: flask.Flask, comment_id: str, receipt: str) -> bool:
    headers = {"Authorization": f"Receipt {receipt}"}
    answer = app.test_client().get(f"/api/v1/comments/{comment_id}", headers=headers)
    assert answer.status_code in (200, 401, 403, 404)
    return answer.status_code == 200


@pytest.fixture
def make_server(settings: Settings) -> Callable[..., flask.Flask]:
    """Makes a server over one ledger with the secrets it is given."""
    database = open_ledger(settings)
    make_site(database)
    database.close()

    def make(**secrets: str) -> flask.Flask:
        return create_app(settings.model_copy(update=secrets))

    return make


def test_what_the_old_secret_signed_is_believed_and_the_new_one_signs(
    make_server: Callable[..., flask.Flask],
) -> None:
    before = make_server(secret=OLD)
    during = make_server(secret=NEW, secret_previous=OLD)
    after = make_server(secret=NEW)

    old, new = receipt_of(before), receipt_of(during)

    assert is_believed(during, *old)
    assert is_believed(during, *new)
    assert is_believed(after, *new)
    assert not is_believed(after, *old)
    assert not is_believed(before, *new)
    for app in (before, during, after):
        database_of(app).close()


def test_servers_restarted_in_turn_believe_each_other_if_the_new_secret_goes_ahead(
    make_server: Callable[..., flask.Flask],
) -> None:
    first = make_server(secret=OLD, secret_previous=NEW)
    second = make_server(secret=NEW, secret_previous=OLD)

    assert is_believed(second, *receipt_of(first))
    assert is_believed(first, *receipt_of(second))
    for app in (first, second):
        database_of(app).close()


@pytest.mark.parametrize("receipt", ["", "rcp_", "rcp", "rcp_é", "other_abc"])
def test_what_nobody_signed_is_not_believed(
    make_server: Callable[..., flask.Flask], receipt: str
) -> None:
    app = make_server(secret=NEW, secret_previous=OLD)
    comment_id, real = receipt_of(app)

    assert not is_believed(app, comment_id, receipt)
    assert not is_believed(app, comment_id, real.replace("rcp_", "csrf_"))
    database_of(app).close()


def test_the_secret_in_the_home_is_changed_by_command(
    command: Callable[..., Ended], installed: Settings, home: Path
) -> None:
    old = installed.signing_key()
    assert installed.previous_signing_key() is None

    rotated = command("secret", "rotate")
    assert (rotated.code, installed.previous_signing_key()) == (0, old)
    assert installed.signing_key() != old
    assert {(home / name).stat().st_mode & 0o777 for name in ("secret", "secret.previous")} == {
        0o600
    }

    again = command("secret", "rotate")
    assert (again.code, "secret forget" in again.err) == (1, True)

    assert command("secret", "forget").code == 1  # nobody said yes
    assert command("secret", "forget", "--yes").out == "forgotten\n"
    assert installed.previous_signing_key() is None


def test_a_secret_of_the_environment_is_changed_there(
    command: Callable[..., Ended], installed: Settings
) -> None:
    refused = command("secret", "rotate", HAMGATE_SECRET=NEW)

    assert (refused.code, "HAMGATE_SECRET_PREVIOUS" in refused.err) == (1, True)


def test_a_short_previous_secret_is_refused_and_one_in_a_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "old").write_text(f"{OLD}\n")

    settings = from_environ(
        {"HAMGATE_SECRET": NEW, "HAMGATE_SECRET_PREVIOUS_FILE": str(tmp_path / "old")}
    )

    assert settings.previous_signing_key() == OLD.encode()
    with pytest.raises(ConfigError, match="HAMGATE_SECRET_PREVIOUS is too short"):
        from_environ({"HAMGATE_SECRET_PREVIOUS": "short"})
