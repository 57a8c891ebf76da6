"""Patterns in the lists of a policy: what they find, and which are refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from service.pure.patterns import Patterns
from service.pure.policy import Policy, Signals, decide

ADA = "ada@example.org"


def rule_of(policy: Policy, **signals: Any) -> tuple[str, str]:
    given: dict[str, Any] = {"email": ADA, "score": 0.1, **signals}
    ruling = decide(Signals(**given), policy)
    return ruling.rule, ruling.reason


@pytest.mark.parametrize(
    "text",
    [
        "buy Viagra now",
        "v1agra, cheap",
        "ｖｉａｇｒａ",  # full width
        "vi\u200bag\u200dra",  # with invisible characters
        "first line\nsecond line: VIAGRA",
    ],
)
def test_a_pattern_finds_what_people_see(text: str) -> None:
    assert rule_of(Policy(blocked_words=("/v[i1]agra/",)), text=text) == (
        "blocked",
        "contains what the pattern /v[i1]agra/ blocks",
    )


def test_what_it_does_not_describe_passes() -> None:
    assert rule_of(Policy(blocked_words=("/v[i1]agra/",)), text="via Graz")[0] == "otherwise"


def test_without_slashes_an_entry_is_plain_text() -> None:
    policy = Policy(blocked_words=("v[i1]agra",), banned_emails=(".*",), blocked_domains=(".*",))

    assert rule_of(policy, text="viagra", words=" viagra ", link_hosts=("a.example",)) == (
        "otherwise",
        "no rule objected",
    )


def test_each_list_takes_patterns() -> None:
    policy = Policy(
        banned_emails=(r"/@mail\d+\.example$/",),
        banned_names=("/^seo /", "Casino King"),
        blocked_domains=(r"/^promo\d*\./",),
    )

    assert rule_of(policy, email="x@mail22.example")[0] == "banned"
    assert rule_of(policy, name="SEO expert") == (
        "banned",
        "this author's name is banned on the site",
    )
    assert rule_of(policy, name=" casino KING ")[0] == "banned"
    assert rule_of(policy, name="Expert of seo ")[0] == "otherwise"
    assert rule_of(policy, link_hosts=("good.example", "promo7.example")) == (
        "blocked",
        r"links to what the pattern /^promo\d*\./ blocks",
    )


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("/(a/", "missing )"),
        ("/a{1001}/", "invalid repetition size"),
        (r"/(a)\1/", "invalid escape sequence"),
        ("/(?=a)/", "invalid perl operator"),
        (r"/\pL{900}\pN{900}/", "too large"),
    ],
)
def test_a_faulty_pattern_is_refused_with_its_place_and_the_reason(entry: str, said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Policy(blocked_words=("fine", entry))

    (fault,) = refused.value.errors()
    assert fault["loc"] == ("blocked_words", 1)
    assert said in fault["msg"]


def test_patterns_that_are_too_many_or_too_large_together_are_refused() -> None:
    few = tuple(f"/spam{number}/" for number in range(200))

    assert len(Patterns(Policy(blocked_words=few).blocked_words)) == 200
    with pytest.raises(ValidationError, match="at most 200 patterns"):
        Policy(blocked_words=few, banned_names=("/one more/",))
    with pytest.raises(ValidationError, match="too large together"):
        Policy(blocked_words=tuple(f"/x.{{0,{n}}}y/" for n in range(100, 200)))


def test_what_makes_other_engines_hang_is_answered() -> None:
    """With backtracking this pattern would take longer than the universe has."""
    policy = Policy(blocked_words=("/(a+)+$/", "/(a|a)*b$/", "/(.*)*z/"))

    assert rule_of(policy, text="a" * 10_000 + "!")[0] == "otherwise"
