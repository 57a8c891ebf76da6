"""The e-mail address of a submission: strict in form, kept as written beside its one form."""

import pytest
from werkzeug.test import TestResponse

from service.ledger.models import Comment
from tests.cast import bearer, faults, json_of, make_body, post
from tests.conftest import Door

_LOCAL = "a" * 64
_DOMAIN = ".".join(("b" * 63, "c" * 63, "d" * 57, "org"))


@pytest.mark.parametrize(
    ("written", "normalised"),
    [
        ("ada@example.org", "ada@example.org"),
        ("  ada@example.org\n", "ada@example.org"),
        ("Ada.Lovelace+comments@EXAMPLE.Org", "Ada.Lovelace+comments@example.org"),
        ("o'neil_!#$%&*=?^`{|}~-/@example.org", "o'neil_!#$%&*=?^`{|}~-/@example.org"),
        ("ada@a.b.c.example.org", "ada@a.b.c.example.org"),
        ("ada@bücher.de", "ada@bücher.de"),
        ("ada@BÜCHER.de", "ada@bücher.de"),
        ("ada@xn--bcher-kva.de", "ada@bücher.de"),
        ("ada@例え.jp", "ada@例え.jp"),
        ("用户@example.org", "用户@example.org"),
        ("jose\u0301@example.org", "jos\u00e9@example.org"),
        (f"{_LOCAL}@example.org", f"{_LOCAL}@example.org"),
    ],
)
def test_an_address_is_kept_as_written_and_in_one_form(
    door: Door, written: str, normalised: str
) -> None:
    stored = _stored(door, post(door.client, make_body(email=written)))

    assert stored.email == written.strip()
    assert stored.email_normalised == normalised


@pytest.mark.parametrize(
    "email",
    [
        "", " ", "ada", "ada@", "@example.org", "@", "ada@@example.org", "ada@example",
        "ada@localhost", "ada@example.local", "ada@example.invalid", "ada@.example.org",
        "ada@example..org", "ada@-example.org", "ada@example-.org", "ada@exa_mple.org",
        "ada@example.org.", "ada@example.1", ".ada@example.org", "ada.@example.org",
        "a..da@example.org", "a da@example.org", "ada @example.org", "ada@ example.org",
        '"ada"@example.org', '"a da"@example.org', "ada@[127.0.0.1]", "ada@[IPv6:::1]",
        "ada@127.0.0.1", "Ada <ada@example.org>", "<ada@example.org>", "ada(x)@example.org",
        "ada@example.org,bob@example.org", "ada@example.org;", "mailto:ada@example.org",
        "ada\n@example.org", "ada\r\nBcc: x@example.org", "ada\t@example.org", "ada\x7f@x.org",
        "ada\u200b@example.org", "ada\u202e@example.org", "ada@exam\u200bple.org",
        "ada@example\u3002org\u3002", "ada@xn--a.org", f"a{_LOCAL}@example.org",
        f"ada@{'b' * 64}.org",
    ],
    ids=ascii,
)  # fmt: skip
def test_what_is_no_address_is_refused(door: Door, email: str) -> None:
    assert set(faults(post(door.client, make_body(email=email)))) == {"/email"}


def test_an_address_of_254_characters_is_taken_and_of_255_is_not(door: Door) -> None:
    longest = f"{_LOCAL}@{_DOMAIN}"
    assert len(longest) == 254

    assert _stored(door, post(door.client, make_body(email=longest))).email == longest
    answer = post(door.client, make_body(email=longest.replace("d" * 57, "d" * 58)))
    assert faults(answer) == {"/email": "must have at most 254 characters"}


def test_a_longer_address_is_refused_before_it_is_taken_apart(door: Door) -> None:
    answer = post(door.client, make_body(email="ada@" + "a." * 10_000 + "org"))

    assert faults(answer) == {"/email": "must have at most 254 characters"}


@pytest.mark.parametrize(
    ("email", "disposable"),
    [
        ("ada@mailinator.com", True),
        ("ada@MAILINATOR.com", True),
        ("ada@team.mailinator.com", True),
        ("ada@mailinator.example.org", False),
        ("ada@example.org", False),
    ],
)
def test_a_throw_away_domain_is_a_signal_and_no_error(
    door: Door, email: str, disposable: bool
) -> None:
    answer = post(door.client, make_body(email=email))

    assert _stored(door, answer).disposable_email is disposable
    seen = door.client.get(answer.headers["Location"], headers=bearer(door.key))
    assert json_of(seen)["signals"]["disposable_email"] is disposable


def _stored(door: Door, answer: TestResponse) -> Comment:
    assert answer.status_code == 202, answer.text
    with door.database.reading() as session:
        stored = session.get(Comment, json_of(answer)["id"])
    assert stored is not None
    return stored
