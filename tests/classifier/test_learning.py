from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier import Content, Example, Label, Model, TrainingDataError
from classifier.budget import MOST_CAUTIOUS, Budget, Thresholds, outlook, thresholds
from classifier.campaign import Memory, is_echo, likeness, sketch, sketches
from classifier.comparison import FEWEST, compare
from classifier.normalise import fold
from classifier.teaching import teach
from classifier.tuning import Tuning

TRADES = ("gardening", "sailing", "pottery", "astronomy", "baking", "chess")


def decisions(count: int) -> list[Example]:
    """Return decisions of a site where talk of rabbits is spam."""
    made = []
    for place in range(count):
        trade = TRADES[place % len(TRADES)]
        made.append(Example(Content(f"my {trade} club met on day {place}"), Label.HAM))
        made.append(Example(Content(f"rabbit racing tips for {trade} day {place}"), Label.SPAM))
    return made


@pytest.fixture(scope="module")
def tuning(builtin: Model) -> Tuning:
    return teach(builtin, decisions(30))


def test_a_site_teaches_what_the_shipped_model_does_not_know(
    builtin: Model, tuning: Tuning
) -> None:
    contents = [Content("rabbit racing tips, new"), Content("my pottery club met again")]
    assert all(verdict.score < 0.5 for verdict in builtin.score(contents))
    spam, ham = builtin.score(contents, tuning)
    assert spam.score > 0.6
    assert ham.score < 0.4
    assert any("rabbit" in clue.label for clue in spam.clues)


def test_a_tuned_score_and_log_odds_agree(builtin: Model, tuning: Tuning) -> None:
    contents = [Content("rabbit"), Content("http://x.example buy now"), Content("")]
    odds = builtin.log_odds(contents, tuning)
    scores = [verdict.score for verdict in builtin.score(contents, tuning)]
    assert np.allclose(1 / (1 + np.exp(-odds)), scores)


def test_a_tuning_survives_its_bytes(builtin: Model, tuning: Tuning) -> None:
    again = Tuning.from_bytes(tuning.to_bytes())
    contents = [Content("rabbit racing"), Content("a chess club")]
    assert (again.ham, again.spam, again.model_version) == (30, 30, builtin.version)
    assert np.allclose(
        builtin.log_odds(contents, again), builtin.log_odds(contents, tuning), atol=0.02
    )


@pytest.mark.parametrize(
    "change",
    [
        {"columns": np.array([5, 3]), "weights": np.ones(2, dtype=np.float32)},
        {"columns": np.array([-1]), "weights": np.ones(1, dtype=np.float32)},
        {"columns": np.array([1]), "weights": np.ones(0, dtype=np.float32)},
        {"facts": np.zeros(1)},
        {"base": float("nan")},
    ],
)
def test_a_broken_tuning_is_refused(tuning: Tuning, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="tuning"):
        Tuning.from_bytes(replace(tuning, **change).to_bytes())


def test_bytes_that_are_no_tuning_are_refused(tuning: Tuning) -> None:
    pickled = io.BytesIO()
    np.savez(pickled, meta=np.array([object()], dtype=object))
    for raw in (b"", b"PK", tuning.to_bytes()[:200], pickled.getvalue()):
        with pytest.raises(ValueError, match="not a tuning"):
            Tuning.from_bytes(raw)


def test_a_tuning_of_another_model_is_refused(small_model: Model, tuning: Tuning) -> None:
    with pytest.raises(ValueError, match="tuning for model"):
        small_model.score([Content("x")], tuning)


def test_too_few_decisions_teach_nothing(builtin: Model) -> None:
    with pytest.raises(TrainingDataError, match="needs 8"):
        teach(builtin, decisions(3))


def test_a_budget_sets_both_thresholds() -> None:
    scores = np.linspace(0.0, 0.999, 10_000)
    chosen = thresholds(scores, Budget(held=0.02, lost=0.001), Thresholds(0.5, 0.9))
    seen = outlook(scores, [False] * len(scores), chosen)
    assert seen.good_lost <= 0.001
    assert seen.good_lost + seen.good_held <= 0.02
    assert seen.good_held > 0.015


def test_few_decisions_keep_the_default_or_more_caution() -> None:
    default = Thresholds(0.4, 0.97)
    assert thresholds([], Budget(), default) == default
    assert thresholds([0.1, 0.99], Budget(), default).spam > 0.99


def test_a_threshold_is_never_out_of_reach_of_one() -> None:
    assert thresholds([1.0] * 50, Budget(), Thresholds(0.5, 0.9)).spam == MOST_CAUTIOUS


@pytest.mark.parametrize(("held", "lost"), [(-0.1, 0.0), (0.1, 0.2), (1.2, 0.1)])
def test_an_impossible_budget_is_refused(held: float, lost: float) -> None:
    with pytest.raises(ValueError, match="budget"):
        Budget(held=held, lost=lost)


@given(st.lists(st.floats(0, 1), max_size=60), st.floats(0, 0.5), st.floats(0, 0.1))
def test_a_budget_is_kept_on_the_scores_it_was_set_on(
    scores: list[float], held: float, more: float
) -> None:
    budget = Budget(held=min(1.0, held + more), lost=held)
    chosen = thresholds(scores, budget, Thresholds(0.5, 0.9))
    assert chosen.hold <= chosen.spam
    below = [score for score in scores if score < MOST_CAUTIOUS]
    if len(below) == len(scores):
        assert sum(score >= chosen.spam for score in scores) <= budget.lost * len(scores)


def test_an_outlook_of_nothing_is_all_zero() -> None:
    assert outlook([], [], Thresholds(0.5, 0.9)).held == 0.0


PRAISE = "what a wonderful article about gardens, I will come back and read more of your posts"


def test_the_same_praise_with_another_link_is_an_echo() -> None:
    one = sketch(f"{PRAISE} http://a.example")
    other = sketch(f"{PRAISE.upper()}!!! http://b.example/x 2024")
    assert is_echo(one, other)
    assert set(one.bands) & set(other.bands)


def test_other_texts_are_no_echo() -> None:
    one, other = (
        sketch(PRAISE),
        sketch("the council met on Tuesday to discuss the old harbour wall"),
    )
    assert likeness(one, other) < 0.2
    assert not set(one.bands) & set(other.bands)


def test_short_texts_are_not_sketched() -> None:
    assert sketch("thanks for sharing this").mins == b""
    assert likeness(sketch("thanks"), sketch("thanks")) == 0.0


def test_a_sketch_is_the_same_in_every_process_and_release() -> None:
    # Stored bands must be found again: another number here needs a migration.
    assert sketch(PRAISE).bands[0] == -5370342390346181312
    mixed = (
        "Write to ann@example.org, see https://a.example about our 24h sale: ünïcode for room 7b!"
    )
    assert sketch(mixed).bands[0] == -3450020308966138291


def test_a_batch_is_sketched_as_each_alone() -> None:
    bodies = [PRAISE, "", "too short", "one two three four five", PRAISE.upper(), "a " * 3000]
    assert sketches([fold(body) for body in bodies]) == [sketch(body) for body in bodies]


def test_nothing_is_sketched_to_nothing() -> None:
    assert sketches([]) == []


def test_memory_counts_echoes_by_others_only() -> None:
    memory = Memory()
    assert memory.count(PRAISE, "a") == 0
    assert memory.count(PRAISE, "a") == 0
    assert memory.count(f"{PRAISE} http://x.example", "b") == 2


def test_echoes_raise_a_score(builtin: Model) -> None:
    fresh, seen = builtin.log_odds([Content(PRAISE), Content(PRAISE, echoes=4)])
    assert seen >= fresh


def test_a_better_candidate_is_promoted() -> None:
    labels = np.arange(200) % 2 == 0
    current = np.where(labels, 0.5, -0.5)
    candidate = current * 4
    outcome = compare(current, candidate, labels, current, candidate, labels)
    assert outcome.is_better
    assert outcome.confidence > 0.9


@pytest.mark.parametrize("count", [0, FEWEST - 1])
def test_too_few_held_out_decisions_promote_nothing(count: int) -> None:
    labels = np.arange(count) % 2 == 0
    odds = np.where(labels, 1.0, -1.0)
    none = np.zeros(0)
    assert not compare(odds, odds * 2, labels, none, none, none.astype(bool)).is_better


def test_a_candidate_that_forgets_the_frozen_set_is_refused() -> None:
    labels = np.arange(200) % 2 == 0
    current = np.where(labels, 0.5, -0.5)
    outcome = compare(current, current * 4, labels, current, -current, labels)
    assert not outcome.is_better
    assert "frozen" in outcome.reason


def test_an_equal_candidate_is_refused() -> None:
    labels = np.arange(100) % 2 == 0
    odds = np.where(labels, 1.0, -1.0)
    assert not compare(odds, odds, labels, odds, odds, labels).is_better
