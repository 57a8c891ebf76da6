"""Text: what is visible, which words and links it has, and which page a URL means."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.pure import text


@pytest.mark.parametrize(
    ("value", "length"),
    [
        ("", 0), (" \t\n", 0), ("a b", 2), ("\x00\x1f\x7f", 0), ("~!", 2), ("é", 1), ("e\u0301", 1),
        ("\u200b\u200d\ufeff", 0), ("\u3164", 0), ("\u115f\u1160\uffa0\u2800", 0), ("\u00a0", 0),
        ("\U0001f600", 1), ("\u2764\ufe0f", 1), ("李小龍", 3), ("\U000e0041", 0), ("\ue000", 0),
    ],
    ids=ascii,
)  # fmt: skip
def test_only_what_a_reader_sees_counts(value: str, length: int) -> None:
    assert text.visible_length(value) == length


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("", " "), ("!!!", " "), ("Hello, World!", " hello world "), ("a_b c-d", " a_b c d "),
        ("ＦＲＥＥ ｍｏｎｅｙ", " free money "), ("STRASSE straße", " strasse strasse "),
        ("1,000", " 1 000 "), ("Лучшее", " лучшее "),
    ],
)  # fmt: skip
def test_words_are_folded_with_single_spaces(value: str, found: str) -> None:
    assert text.words(value) == found or not found.strip()
    assert text.words(value).strip() == found.strip()


@pytest.mark.parametrize(
    ("body", "url", "hosts"),
    [
        ("none", None, ()),
        ("http://a.example/x and HTTPS://B.Example.", None, ("a.example", "b.example")),
        ("www.a.example", None, ("a.example",)),
        ("http://www.a.example", None, ("www.a.example",)),
        ("(http://a.example:8080/x)", None, ("a.example",)),
        ("http://user:pass@a.example/", None, ("a.example",)),
        ("<a href='http://a.example'>x</a>", None, ("a.example",)),
        ("[x](http://a.example)", None, ("a.example",)),
        ("hxxp://a.example hxxps://b.example", None, ("a.example", "b.example")),
        ("http://a.example?x http://a.example#y", None, ("a.example", "a.example")),
        ("ftp://a.example mailto:ada@b.example", None, ()),
        ("", "https://Ada.Example:444/", ("ada.example",)),
        ("http://a.example", "https://b.example", ("a.example", "b.example")),
    ],
)
def test_the_host_of_every_link_is_found(
    body: str, url: str | None, hosts: tuple[str, ...]
) -> None:
    assert text.link_hosts(body, url) == hosts


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("http://example.org", "http://example.org/"),
        ("HTTP://Example.ORG/Path", "http://example.org/Path"),
        ("https://example.org:443", "https://example.org/"),
        ("https://example.org:", "https://example.org/"),
        ("https://example.org:80/", "https://example.org:80/"),
        ("https://example.org/#x", "https://example.org/"),
        ("https://example.org/?", "https://example.org/"),
        ("https://example.org/?a", "https://example.org/?a"),
        ("https://example.org/?a=&b=%20+&c=%C3%A9", "https://example.org/?a=&b=%20+&c=%C3%A9"),
        ("https://example.org/?b=2&a=1", "https://example.org/?b=2&a=1"),
        ("https://user:pass@example.org/", "https://example.org/"),
        ("https://[2001:DB8:0::1]:8443/", "https://[2001:db8::1]:8443/"),
        ("https://example.org//a/../b", "https://example.org//a/../b"),
    ],
)
def test_a_page_has_one_url(written: str, kept: str) -> None:
    assert text.page_url(written) == kept


@pytest.mark.parametrize(
    "name",
    ["utm_source", "UTM_Campaign", "utm_x", "fbclid", "gclid", "dclid", "msclkid", "mc_cid",
     "mc_eid", "igshid", "utm%5Fsource"],
)  # fmt: skip
@pytest.mark.parametrize("rest", ["", "a", "a=", "a=b%20c+d", "a=1&a=1", "q=%ff", "x&&y"])
def test_a_page_is_the_same_with_and_without_tracking(name: str, rest: str) -> None:
    page = text.page_url(f"https://example.org/x?{rest}")

    for query in (f"{name}=1&{rest}", f"{rest}&{name}=", f"{name}&{rest}&{name}=2"):
        assert text.page_url(f"https://example.org/x?{query.strip('&')}") == page


@pytest.mark.parametrize("name", ["utm", "source", "xutm_source", "fbclid2", "page"])
def test_what_only_looks_like_tracking_stays(name: str) -> None:
    assert text.page_url(f"https://example.org/?{name}=1").endswith(f"?{name}=1")


_URLS = st.one_of(
    st.text(),
    st.text(string.printable).map(lambda rest: f"https://example.org/{rest}"),
    st.text().map(lambda rest: f"http://{rest}"),
    st.builds(
        "{}://{}:{}/{}?{}#{}".format,
        st.sampled_from(["http", "HTTPS"]),
        st.sampled_from(["a.example", "[::1]", "Bücher.example", "1.2.3.4", "u@a.example", "İ.x"]),
        st.integers(0, 70_000),
        st.text("aA%/é."),
        st.text("ab=&%20+utm_;?é"),
        st.text("x/?"),
    ),
)


@given(_URLS)
def test_a_page_url_is_idempotent_and_never_crashes(value: str) -> None:
    try:
        kept = text.page_url(value)
    except ValueError:
        return
    assert text.page_url(kept) == kept
    assert "#" not in kept
    assert not text.has_control(kept)


@given(st.text(), _URLS)
def test_whatever_is_written_nothing_crashes(value: str, url: str) -> None:
    assert 0 <= text.visible_length(value) <= len(value)
    assert text.has_visible(value) is (text.visible_length(value) > 0)
    assert text.words(value).startswith(" ")
    assert len(text.link_hosts(value, None)) <= len(value)
    line = text.one_line(value, 10)
    assert line is None or (len(line) <= 10 and not text.has_control(line))
    assert (text.unstorable(value) is None) is _can_be_stored(value)
    if _is_taken(url):
        assert text.link_hosts("", url) != ("",)


def _can_be_stored(value: str) -> bool:
    return "\x00" not in value and value == value.encode("utf-8", "replace").decode()


def _is_taken(url: str) -> bool:
    try:
        return bool(text.page_url(url))
    except ValueError:
        return False


@given(st.lists(st.text().filter(lambda part: text.unstorable(part) is None), min_size=1))
def test_a_digest_is_26_letters_and_digits_and_tells_parts_apart(parts: list[str]) -> None:
    digest = text.digest(*parts)

    assert len(digest) == 26
    assert digest.isalnum()
    assert digest != text.digest(*parts, "")
