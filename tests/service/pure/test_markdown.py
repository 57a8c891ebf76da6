"""Markdown: what becomes of what authors write, and of what attackers do."""

import tracemalloc
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.pure import markdown

TAGS = {"p", "br", "em", "strong", "code", "pre", "blockquote", "ul", "ol", "li", "a"}


class Sieve(HTMLParser):
    """Fails at whatever may not be in a comment."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        given = dict(attrs)
        if tag == "a":
            assert given.keys() == {"href", "rel"}
            assert (given["href"] or "").lower().startswith(("http://", "https://"))
            assert given["rel"] == "nofollow ugc noopener"
        else:
            assert given.keys() <= ({"start"} if tag == "ol" else set())

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    def handle_pi(self, data: str) -> None:
        raise AssertionError(data)

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(data)


def sieve(body: str) -> str:
    html = markdown.render(body)
    reader = Sieve()
    reader.feed(html)
    reader.close()
    return html


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("a *b* **c** `d`", "<p>a <em>b</em> <strong>c</strong> <code>d</code></p>\n"),
        ("one\ntwo", "<p>one<br>\ntwo</p>\n"),
        ("> so", "<blockquote>\n<p>so</p>\n</blockquote>\n"),
        ("- a\n- b", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n"),
        ("3. a", '<ol start="3">\n<li>a</li>\n</ol>\n'),
        ("```\n<b>\n```", "<pre><code>&lt;b&gt;\n</code></pre>\n"),
        ("# not mine", "<p># not mine</p>\n"),
        ("a & b < c", "<p>a &amp; b &lt; c</p>\n"),
    ],
)
def test_a_subset_is_understood(written: str, shown: str) -> None:
    assert sieve(written) == shown


@pytest.mark.parametrize(
    "written",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](data:text/html,<script>1</script>)",
        "[x](//evil.example)",
        "[x](/relative)",
        "[x](\x01javascript:alert(1))",
        "<javascript:alert(1)>",
        "![x](https://a.example/x.png)",
        '[x](https://a.example/ "onmouseover=alert(1)")',
        '[x](https://a.example/"onclick="alert(1))',
        "[x][1]\n\n[1]: javascript:alert(1)",
        "<a href='https://a.example' style='position:fixed'>x</a>",
        "<!-- x --><style>*{}</style><svg/onload=alert(1)>",
        '```html" onload="alert(1)\nx\n```',
        "&lt;script&gt;&#60;script&#62;",
        "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    ],
)
def test_no_markup_of_an_attacker_survives(written: str) -> None:
    html = sieve(written)

    assert "<img" not in html
    assert "<script" not in html


@given(st.text(alphabet="<>[]()!*_`~#-+=\"'&;:/\\ \n\tahrefscipt1.", max_size=200) | st.text())
def test_whatever_is_written_only_allowed_markup_comes_out(body: str) -> None:
    sieve(body)


@pytest.mark.parametrize(
    "unit", ["> ", "*a ", "[", "[a](", "`", "`a", "<https:", "- ", "\n> ", "![", "**", "_a_ "]
)
def test_the_longest_comment_is_rendered_whatever_it_repeats(unit: str) -> None:
    assert sieve((unit * 10_000)[:10_000])


def test_the_longest_comments_take_no_more_room_than_others() -> None:
    """Of 300 as long as may be, texts and HTML would be 6 MB."""
    tracemalloc.start(1)
    try:
        for number in range(300):
            markdown.render(f"{number} {'word ' * 2000}"[:10_000])
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept < 5_000_000
