from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.contacts import EMAIL, HANDLE, LINK, MONEY, PHONE
from classifier.dice import Dice
from classifier.evasions import EVASIONS, Evasion
from classifier.normalise import LIMIT, Trick, fold, fold_name

PLAIN = "check out my channel"


def styled(first: int, text: str = PLAIN) -> str:
    """Write lower-case letters in the style whose letter a is at `first`."""
    return "".join(chr(first + ord(char) - 97) if char.islower() else char for char in text)


@pytest.mark.parametrize(
    ("text", "trick"),
    [
        (styled(0xFF41), Trick.STYLED),
        (styled(0x1D41A), Trick.STYLED),
        (styled(0x24D0), Trick.STYLED),
        (styled(0x1F170), Trick.STYLED),
        (styled(0x1F1E6), Trick.STYLED),
        ("\u0441h\u0435\u0441k out m\u0443 ch\u0430nn\u0435l", Trick.LOOKALIKE),
        ("check\u200b out my cha\u200bnn\u200cel", Trick.INVISIBLE),
        ("check out my chan\u00adnel", Trick.INVISIBLE),
        ("c\u0336h\u0336e\u0336c\u0336k out my channel", Trick.MARKS),
        ("c h e c k out my c.h.a.n.n.e.l", Trick.SPACED),
        ("ch3ck out my ch4nn3l", Trick.LEET),
        ("\u202elennahc ym tuo kcehc\u202c", Trick.REVERSED),
        ("".join(f"&#{ord(char)};" for char in PLAIN), Trick.ENCODED),
        (styled(0x1D41A, "check") + " out my channel", Trick.STYLED),
    ],
)
def test_fold_undoes_and_counts_a_trick(text: str, trick: Trick) -> None:
    folded = fold(text)
    assert folded.text == PLAIN
    assert folded.tricks[trick] > 0


def test_fold_leaves_plain_text_without_tricks() -> None:
    folded = fold("Don't panic: the 2nd edition is out, and it is soooo good!")
    assert folded.text == "dont panic the 2nd edition is out and it is so good !"
    assert not any(folded.tricks)


@pytest.mark.parametrize(
    "text",
    [
        "как это работает на самом деле",
        "πώς λειτουργεί αυτό",
        "こんにちは、元気ですか",
        "잘 보고 갑니다",
        "ขอบคุณมากครับ",
        "شكرا على المقال",
        "Voilà une idée brûlée, señor Müller",
    ],
)
def test_honest_scripts_are_not_tricks(text: str) -> None:
    assert not any(fold(text).tricks)


def test_latin_letters_in_a_cyrillic_word_become_cyrillic() -> None:
    folded = fold("\u041fpe\u0434\u043ba\u0433ae\u043c \u0440\u0430\u0431\u043e\u0442\u0443")
    assert folded.text.split()[0] == "\u043f\u0440\u0435\u0434\u043b\u0430\u0433\u0430\u0435\u043c"
    assert folded.tricks[Trick.LOOKALIKE] == 1


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("see http://Example.com/Path?q=1.", "example.com/path?q=1"),
        ("see www.example.com now", "www.example.com"),
        ("see example dot com now", "example.com"),
        ("see example[.]com now", "example.com"),
        ("see hxxp://example.com/a now", "example.com/a"),
        ('<a href="http://example.com/a">here</a>', "example.com/a"),
        ("[url=http://example.com/a]here[/url]", "example.com/a"),
        ("[here](http://example.com/a)", "example.com/a"),
        (styled(0x1D41A, "example") + ".com", "example.com"),
    ],
)
def test_fold_finds_a_link_however_it_is_written(text: str, link: str) -> None:
    folded = fold(text)
    assert folded.links == (link,)
    assert LINK in folded.text.split()


@pytest.mark.parametrize(
    "text", ["I use ASP.NET and System.IO", "it works, e.g. here. Thanks.me too"]
)
def test_names_with_dots_are_not_links(text: str) -> None:
    assert fold(text).links in {(), ("thanks.me",)}


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("write to me@example.com", EMAIL),
        ("write to joe at example dot com", EMAIL),
        ("call +1 (555) 123-4567 now", PHONE),
        ("telegram @somebody", HANDLE),
        ("only $99 a day", MONEY),
    ],
)
def test_fold_marks_contacts(text: str, mark: str) -> None:
    assert mark in fold(text).text.split()


def test_a_date_is_not_a_phone_number() -> None:
    assert PHONE not in fold("on 2012-04-23 11:27 it rained").text


def test_base64_that_says_words_is_read() -> None:
    said = base64.b64encode(b"check out my channel now").decode()
    assert "check out my channel now" in fold(f"x {said}").text


def test_signs_without_spaces_are_single_words() -> None:
    assert fold("我喜欢").text == "我 喜 欢"


def test_words_cannot_forge_placeholders() -> None:
    assert fold("\ue000 \ue001").text == ""


def test_a_long_text_keeps_its_end() -> None:
    folded = fold("innocent words " * LIMIT + "final")
    assert folded.text.endswith("final")
    assert len(folded.text) <= LIMIT + 1


def test_fold_name_has_no_placeholders() -> None:
    assert fold_name("Cheap_Shoes www.x.com") == "cheap shoes www x com"


@pytest.mark.parametrize("evasion", EVASIONS, ids=lambda evasion: evasion.name)
def test_every_evasion_takes_any_text(evasion: Evasion) -> None:
    for text in ("", "a", "buy at http://shop.example.com \U0001f600", "好 \x00"):
        for seed in range(3):
            assert isinstance(evasion.apply(text, Dice(seed)), str)


any_text = st.text(st.characters(codec=None), max_size=400)


@given(any_text)
def test_fold_takes_any_text(text: str) -> None:
    folded = fold(text)
    assert folded.text == " ".join(folded.text.split(" ")).strip()
    assert "  " not in folded.text
    assert all(count >= 0 for count in folded.tricks)


@given(any_text)
def test_fold_name_takes_any_text(text: str) -> None:
    assert "  " not in fold_name(text)


@pytest.mark.parametrize("text", ["see bit.ly/abc", "adf.ly /abc", "join t.me now"])
def test_known_shorteners_and_messengers_are_links_without_a_scheme(text: str) -> None:
    assert len(fold(text).links) == 1
