"""A stranger's text as a moderator sees it: nothing to click, nothing hidden, nothing live."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from service.dashboard import showing


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("plain words", "plain words"),
        ("<b>bold</b> & more", "&lt;b&gt;bold&lt;/b&gt; &amp; more"),
        (
            "see https://a.example/x?y=1#z now",
            'see <span class="url">https://<b>a.example</b>/x?y=1#z</span> now',
        ),
        (
            "(https://a.example/x_(y), really?)",
            '(<span class="url">https://<b>a.example</b>/x_(y</span>), really?)',
        ),
        ("www.a.example", '<span class="url"><b>www.a.example</b></span>'),
        (
            "https://good.example@bad.example/",
            '<span class="url">https://<b>good.example@bad.example</b>/</span>',
        ),
        ("Привет, мир", "Привет, мир"),
        (
            "p\u0430ypal",
            'p<mark class="alike" title="Cyrillic small letter a">\u0430</mark>ypal',
        ),
        (
            "fr\u200bee",
            'fr<mark class="unseen" title="Zero width space">U+200B</mark>ee',
        ),
        (
            "\u202ednilb",
            '<mark class="unseen" title="Right-to-left override">U+202E</mark>dnilb',
        ),
        ("👩\u200d🔬 works", "👩\u200d🔬 works"),
        (
            "fr\u200dee",
            'fr<mark class="unseen" title="Zero width joiner">U+200D</mark>ee',
        ),
        ("naïve café", "naïve café"),
    ],
)
def test_what_deceives_is_made_visible(written: str, shown: str) -> None:
    assert str(showing.text(written)) == shown


def test_a_link_with_letters_that_imitate_others_shows_them() -> None:
    assert 'title="Cyrillic small letter o"' in showing.url("https://g\u043eogle.example/")


@given(st.text(max_size=300))
def test_nothing_a_stranger_writes_is_live(written: str) -> None:
    shown = str(showing.text(written))

    assert set(re.findall(r"<(/?\w+)", shown)) <= {"span", "/span", "mark", "/mark", "b", "/b"}
    assert "href" not in "".join(re.findall(r"<[^>]*>", shown))


@given(st.text(alphabet="ab \u0430\u200b<&/:.wht", max_size=80))
def test_nothing_is_lost(written: str) -> None:
    visible = Markup(re.sub(r"<[^>]+>", "", str(showing.text(written)))).unescape()

    assert visible.replace("U+200B", "\u200b") == written
