"""Agreement: Cohen's kappa by hand, and as others compute it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from service.pure import agreement

ANSWERS = ("approved", "rejected", "spam")


def test_kappa_is_what_one_gets_by_hand() -> None:
    # Both said the same of 20 + 15 of 50: .7. The first approved half, the second 30 of 50, so
    # chance gives .5 * .6 + .5 * .4 = .5, and (.7 - .5) / (1 - .5) = .4.
    found = agreement.of(
        {
            ("approved", "approved"): 20,
            ("approved", "spam"): 5,
            ("spam", "approved"): 10,
            ("spam", "spam"): 15,
        }
    )

    assert found is not None
    assert (found.pairs, found.alike) == (50, 35)
    assert found.by_chance == pytest.approx(25)
    assert found.kappa == pytest.approx(0.4)
    assert found.word == "fair"
    # Wilson's interval of 35 of 50 is .5625 to .8090; doubled around chance as above.
    assert found.low == pytest.approx(0.1249, abs=1e-3)
    assert found.high == pytest.approx(0.6180, abs=1e-3)


def test_three_answers_by_hand() -> None:
    # Rows 120, 60, 20 and columns 100, 60, 40 of 200: chance .6 * .5 + .3 * .3 + .1 * .2 = .41;
    # alike 88 + 40 + 12 = 140: (.7 - .41) / .59.
    rows = ((88, 14, 18), (10, 40, 10), (2, 6, 12))
    found = agreement.of(
        {
            (first, second): rows[place][column]
            for place, first in enumerate(ANSWERS)
            for column, second in enumerate(ANSWERS)
        }
    )

    assert found is not None
    assert found.kappa == pytest.approx(0.29 / 0.59)
    assert found.word == "moderate"


def test_nothing_judged_twice_is_no_agreement() -> None:
    assert agreement.of({}) is None


def test_one_answer_alone_leaves_kappa_open() -> None:
    found = agreement.of({("spam", "spam"): 12})

    assert found is not None
    assert (found.kappa, found.low, found.high, found.word) == (None, None, None, "undefined")
    assert found.by_chance == 12


def test_few_pairs_that_all_agree_are_not_certain() -> None:
    found = agreement.of({("spam", "spam"): 3, ("approved", "approved"): 3})

    assert found is not None
    assert found.kappa == 1.0
    assert found.high == pytest.approx(1.0)
    assert found.low is not None
    assert found.low < 0.3
    assert found.word == "almost perfect"


def test_worse_than_chance_is_negative() -> None:
    found = agreement.of({("spam", "approved"): 5, ("approved", "spam"): 5})

    assert found is not None
    assert found.kappa == pytest.approx(-1.0)
    assert found.word == "no"


@given(
    st.lists(st.tuples(st.sampled_from(ANSWERS), st.sampled_from(ANSWERS)), min_size=1, max_size=60)
)
def test_kappa_is_that_of_scikit_learn_and_inside_its_interval(
    pairs: list[tuple[str, str]],
) -> None:
    counts: dict[tuple[str, str], int] = {}
    for pair in pairs:
        counts[pair] = counts.get(pair, 0) + 1

    found = agreement.of(counts)

    assert found is not None
    first, second = zip(*pairs, strict=True)
    if found.kappa is None:
        assert len(counts) == 1
        return
    expected = cohen_kappa_score(first, second)
    assert math.isclose(found.kappa, expected, abs_tol=1e-9)
    assert found.low is not None
    assert found.high is not None
    assert -1.0 <= found.low <= found.kappa + 1e-9
    assert found.kappa <= found.high + 1e-9 <= 1.0 + 2e-9
