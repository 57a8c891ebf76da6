from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier import Content, Model, load
from classifier.budget import MOST_CAUTIOUS, Budget
from classifier.clues import MAX_CLUES
from classifier.features import N_GRAMS, group, span, weigh
from classifier.model import HAM_SHARES
from classifier.pipeline import RAISING, features, fit_features, rarity

any_text = st.text(st.characters(codec=None), max_size=300)

HOSTILE = [
    "",
    " ",
    "\x00" * 50,
    "\ud800\udfff",
    "\U0001f600" * 200,
    "\u0441\u0435" * 5000,
    "a" * 30_000,
    "<a href=" * 2000,
    "[url=" * 2000,
    "http://" * 2000,
    "x-" * 5000,
    "&#" * 5000,
    "好" * 10_000,
]


def test_the_builtin_model_tells_the_obvious_apart(builtin: Model) -> None:
    thanks, shout, empty = builtin.score(
        [
            Content("Great article, thanks for explaining how X works"),
            Content("CHECK OUT MY CHANNEL http://spam.example/win subscribe now!!!"),
            Content(""),
        ]
    )
    assert thanks.score < 0.2
    assert shout.score > 0.98
    assert empty.score < 0.5


def test_an_author_url_full_of_keywords_is_a_clue(builtin: Model) -> None:
    [verdict] = builtin.score(
        [
            Content(
                "Very nice post, keep it up!",
                author_name="payday loans",
                author_url="http://best-payday-loans.example.com/payday-loans.html",
            )
        ]
    )
    assert verdict.score > 0.9
    assert any("URL" in clue.label for clue in verdict.clues if clue.weight > 0)


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:8]))
def test_hostile_texts_get_a_verdict(builtin: Model, text: str) -> None:
    [verdict] = builtin.score([Content(text, text, text, text, text)])
    assert 0.0 <= verdict.score <= 1.0


@settings(deadline=None, max_examples=60)
@given(st.lists(st.builds(Content, any_text, any_text, any_text, any_text, any_text), max_size=5))
def test_a_verdict_is_a_probability_with_bounded_clues(contents: list[Content]) -> None:
    verdicts = load_once().score(contents)
    assert len(verdicts) == len(contents)
    for verdict in verdicts:
        assert 0.0 <= verdict.score <= 1.0
        assert len(verdict.clues) <= MAX_CLUES
        assert all(math.isfinite(clue.weight) for clue in verdict.clues)
        sizes = [abs(clue.weight) for clue in verdict.clues]
        assert sizes == sorted(sizes, reverse=True)


_LOADED: list[Model] = []


def load_once() -> Model:
    """Load the built-in model the first time it is needed."""
    if not _LOADED:
        _LOADED.append(load())
    return _LOADED[0]


def test_a_score_does_not_depend_on_the_batch(builtin: Model) -> None:
    contents = [
        Content(f"comment {place} " * (place % 40), "Ann", "http://a.example")
        for place in range(600)
    ]
    together = [verdict.score for verdict in builtin.score(contents)]
    alone = [builtin.score([content])[0].score for content in contents[::50]]
    assert np.allclose(together[::50], alone, rtol=0, atol=1e-9)


def test_no_comments_give_no_verdicts(builtin: Model) -> None:
    assert builtin.score([]) == []
    assert len(builtin.log_odds([])) == 0


def test_clues_are_parts_of_the_sum(builtin: Model) -> None:
    content = Content("buy pills")
    [verdict] = builtin.score([content])
    numbers = builtin.parameters
    base = numbers.slope * numbers.bias + numbers.offset
    said = math.log(verdict.score / (1.0 - verdict.score))
    assert said == pytest.approx(base + sum(clue.weight for clue in verdict.clues), abs=0.4)


def test_no_disguise_has_a_negative_weight(builtin: Model) -> None:
    assert (builtin.parameters.facts[RAISING - N_GRAMS] >= 0).all()


def test_the_lean_arithmetic_equals_scikit_learn() -> None:
    contents = [
        Content("hello hello world, see http://a.example.com"),
        Content("", "Bob", "http://bob.example.org/x"),
        Content("我喜欢 this one", email="a@b.example"),
        Content("one two three two one"),
    ]
    transformer = features()
    matrix = fit_features(transformer, contents)
    spans = span(contents)
    grouped = group(spans)
    values = weigh(grouped, rarity(transformer), len(contents))
    dense = matrix.toarray()
    assert np.allclose(dense[grouped.row, grouped.column], values, rtol=0, atol=1e-6)
    assert np.allclose(dense[:, -spans.facts.shape[1] :], spans.facts)


def test_scoring_imports_neither_scikit_learn_nor_scipy() -> None:
    code = (
        "import sys\n"
        "from classifier import Content, load\n"
        "load().score([Content('hello')])\n"
        "assert not {'sklearn', 'scipy', 'flask', 'sqlalchemy', 'redis'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_default_thresholds_are_those_of_the_default_budget(builtin: Model) -> None:
    assert builtin.thresholds == builtin.thresholds_for(Budget())
    assert 0.5 < builtin.thresholds.hold < builtin.thresholds.spam < 1.0


@given(
    shares=st.lists(st.floats(0, 1), min_size=2, max_size=2).map(sorted),
    others=st.lists(st.floats(0, 1), min_size=2, max_size=2).map(sorted),
)
def test_a_smaller_budget_never_lowers_a_threshold(
    builtin: Model, shares: list[float], others: list[float]
) -> None:
    small = [min(pair) for pair in zip(shares, others, strict=True)]
    large = [max(pair) for pair in zip(shares, others, strict=True)]
    strict = builtin.thresholds_for(Budget(lost=small[0], held=small[1]))
    lax = builtin.thresholds_for(Budget(lost=large[0], held=large[1]))
    assert 0.0 <= lax.hold <= lax.spam <= MOST_CAUTIOUS
    assert strict.hold <= strict.spam
    assert lax.hold <= strict.hold
    assert lax.spam <= strict.spam


def test_a_budget_of_nothing_lets_no_score_reach(builtin: Model) -> None:
    chosen = builtin.thresholds_for(Budget(held=0.0, lost=0.0))
    assert chosen.hold == chosen.spam == MOST_CAUTIOUS


def test_a_budget_is_cut_before_held_out_ham_is_asked(builtin: Model) -> None:
    place = HAM_SHARES.index(0.001)
    chosen = builtin.thresholds_for(Budget(held=0.5, lost=0.002))
    odds = math.log(chosen.spam / (1.0 - chosen.spam))
    assert math.isclose(odds, builtin.parameters.tail[place], rel_tol=1e-9)
