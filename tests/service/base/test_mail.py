"""The settings of mail, the words of letters, and what the doctor says of the mail server."""

import json
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from service import embed
from service.base import config, relays
from service.base.config import Settings
from service.base.errors import ConfigError
from service.base.relays import Relay
from service.core.confirmations import rows
from service.ledger.db import utc_now
from service.operations import doctor
from service.operations.doctor import Finding, Grade
from service.pure import letters
from tests.mailserver import serving_mail

LANGUAGES = letters.languages()
SET = {
    "HAMGATE_SMTP_URL": "smtps://mail.example.net",
    "HAMGATE_MAIL_FROM": "comments@example.net",
    "HAMGATE_URL": "https://comments.example.net",
}


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("smtps://u:p%40ss@mail.example.net", ("mail.example.net", 465, True, False, "u", "p@ss")),
        ("smtp://mail.example.net", ("mail.example.net", 587, False, True, None, "")),
        ("smtp://u:p@mail.example.net:2525/", ("mail.example.net", 2525, False, True, "u", "p")),
        ("smtp://relay:25?starttls=no", ("relay", 25, False, False, None, "")),
        ("smtp://u:p@127.0.0.1:25?starttls=no", ("127.0.0.1", 25, False, False, "u", "p")),
        ("smtp://[::1]:25?starttls=no", ("::1", 25, False, False, None, "")),
    ],
)
def test_a_mail_server_is_written_as_a_url(written: str, read: tuple[Any, ...]) -> None:
    assert relays.read(written) == Relay(*read)


@pytest.mark.parametrize(
    "written",
    ["mail.example.net", "http://mail.example.net", "smtp://", "smtp://mail:0", "smtp://mail:x",
     "smtp://mail:99999", "smtp://mail/path", "smtp://mail#x", "smtp://mail?starttls=maybe",
     "smtps://mail?starttls=no", "smtp://u:hunter2@mail.example.net?starttls=no",
     "smtp://u:%ffhunter2@mail", "smtp://[::1"],
)  # fmt: skip
def test_what_is_no_mail_server_is_refused_without_being_repeated(written: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        config.from_environ({**SET, "HAMGATE_SMTP_URL": written})

    assert "HAMGATE_SMTP_URL: " in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    "written",
    ["comments", "a@b@c", "@example.net", "comments@", "a@example.net, b@example.net",
     "a@example.net\nBcc: b@example.net", "jörg@example.net"],
)  # fmt: skip
def test_what_is_no_sender_is_refused(written: str) -> None:
    with pytest.raises(ConfigError, match="HAMGATE_MAIL_FROM"):
        config.from_environ({**SET, "HAMGATE_MAIL_FROM": written})


@pytest.mark.parametrize("missing", SET)
def test_mail_needs_a_server_a_sender_and_an_address_for_its_links(missing: str) -> None:
    given = {name: value for name, value in SET.items() if name != missing}
    if missing == "HAMGATE_URL":
        with pytest.raises(ConfigError, match="HAMGATE_URL missing"):
            config.from_environ(given)
    else:
        with pytest.raises(ConfigError, match=f"{missing} missing"):
            config.from_environ(given)


def test_the_servers_password_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "smtp").write_text("smtps://u:p@mail.example.net\n")
    given = {**SET, "HAMGATE_SMTP_URL_FILE": str(tmp_path / "smtp")}
    del given["HAMGATE_SMTP_URL"]

    relay = config.from_environ(given).relay

    assert relay is not None
    assert relay.password == "p"


def test_mail_is_off_by_default() -> None:
    assert config.from_environ({}).relay is None


def places(text: str) -> set[str]:
    return set(re.findall(r"{\w+}", text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_says_everything_with_the_same_places(language: str) -> None:
    english, other = LANGUAGES["en"].messages, LANGUAGES[language].messages

    assert list(other) == list(english)
    assert {key: places(text) for key, text in other.items()} == {
        key: places(text) for key, text in english.items()
    }


def test_letters_have_the_widgets_languages() -> None:
    folder = resources.files(embed) / "messages"
    widgets = [json.loads(path.read_text())["language"] for path in folder.iterdir()]

    assert list(LANGUAGES) == sorted(widgets)


@pytest.mark.parametrize(
    ("wanted", "given"),
    [("de", "de"), ("de-AT", "de"), ("PT-br", "pt"), ("xx", "en"), ("", "en"), ("../x", "en")],
)
def test_the_nearest_language_is_taken(wanted: str, given: str) -> None:
    assert letters.nearest(wanted) == given


def request(**changes: Any) -> letters.Request:
    values: dict[str, Any] = {
        "id": "cnf_1", "to": "ada@example.org", "language": "en", "site": "Blog",
        "asked_at": utc_now(), "days": rows.LASTS.days,
        "confirm_url": "https://c.example/1", "silence_url": "https://c.example/2",
    }  # fmt: skip
    return letters.Request(**(values | changes))


def test_a_sites_name_is_one_line_of_a_letter() -> None:
    sender = relays.sender("c@example.net")

    letter = letters.request(request(site="Blog\r\nBcc: eve@example.org {to}"), sender, utc_now())

    assert letter["Bcc"] is None
    assert letter["Subject"].endswith("on Blog Bcc: eve@example.org {to}")
    assert b"\nBcc:" not in letter.as_bytes()


@pytest.mark.parametrize("to", ["a@example.org\r\nBcc: eve@example.org", "a\n@example.org"])
def test_no_header_begins_in_an_address(to: str) -> None:
    with pytest.raises(ValueError, match="CR or LF"):
        letters.request(request(to=to), relays.sender("c@example.net"), utc_now())


def found(settings: Settings) -> Finding:
    return next(one for one in doctor.examine(settings) if one.check == "mail")


def test_the_doctor_logs_in_to_the_mail_server(make_settings: Callable[..., Settings]) -> None:
    assert "mail" not in {one.check for one in doctor.examine(make_settings())}
    with serving_mail() as server:
        settings = make_settings(
            **{**SET, "HAMGATE_SMTP_URL": f"smtp://localhost:{server.port}?starttls=no"}
        )
        well = found(settings)
        strict = found(
            make_settings(**{**SET, "HAMGATE_SMTP_URL": f"smtp://localhost:{server.port}"})
        )
    gone = found(settings)

    assert (well.grade, well.message) == (
        Grade.OK,
        f"localhost:{server.port} takes our mail",
    )
    assert (strict.grade, "STARTTLS" in strict.message) == (Grade.FAIL, True)
    assert gone.grade is Grade.FAIL
    assert gone.remedy == "start it, or correct HAMGATE_SMTP_URL"
    assert server.taken == []
