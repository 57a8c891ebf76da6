"""Agreement: how far two who judged the same things say the same, beyond what chance would do.

Pure. The measure is Cohen's kappa: J. Cohen, "A coefficient of agreement for nominal scales",
Educational and Psychological Measurement 20 (1960), 37-46.
"""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TypeVar

# Of a normal distribution: 95 % lie between minus and plus this.
_Z = 1.959964
# J. R. Landis and G. G. Koch, "The measurement of observer agreement for categorical data",
# Biometrics 33 (1977), 159-174: up to which kappa an agreement is called so.
_WORDS = ((0.0, "no"), (0.2, "slight"), (0.4, "fair"), (0.6, "moderate"), (0.8, "substantial"))

Answer = TypeVar("Answer", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two agree.

    Attributes:
        pairs: how many things both judged, at least 1.
        alike: of how many they said the same.
        by_chance: of how many they would have, each answering as often as they do, at random.
        kappa: the share of the agreement that was left to reach above chance, 1 at most and
            negative below chance; `None` where chance alone reaches all of it.
        low, high: its 95 % confidence interval; `None` with it.
    """

    pairs: int
    alike: int
    by_chance: float
    kappa: float | None
    low: float | None
    high: float | None

    @property
    def word(self) -> str:
        """What an agreement of this kappa is called by Landis and Koch."""
        if self.kappa is None:
            return "undefined"
        named = (word for most, word in _WORDS if self.kappa <= most)
        return next(named, "almost perfect")


def of(counts: Mapping[tuple[Answer, Answer], int]) -> Agreement | None:
    """Measure it; `None` where nothing was judged by both.

    The interval is Wilson's for the share alike (E. B. Wilson, "Probable inference", Journal of
    the American Statistical Association 22 (1927), 209-212), carried over to kappa with the
    chance agreement taken as known, as Cohen's own standard error takes it. Unlike that one, it
    says something of few pairs that all agree.

    Args:
        counts: how many times the first said one thing and the second another or the same.
    """
    pairs = sum(counts.values())
    if not pairs:
        return None
    alike = sum(count for (first, second), count in counts.items() if first == second)
    answers = {answer for both in counts for answer in both}
    chance = sum(
        _share(counts, 0, answer, pairs) * _share(counts, 1, answer, pairs) for answer in answers
    )
    if math.isclose(chance, 1.0):
        return Agreement(pairs, alike, pairs * chance, None, None, None)
    low, high = wilson(alike, pairs)
    return Agreement(
        pairs=pairs,
        alike=alike,
        by_chance=pairs * chance,
        kappa=_beyond(alike / pairs, chance),
        low=max(-1.0, _beyond(low, chance)),
        high=_beyond(high, chance),
    )


def wilson(hits: int, tries: int) -> tuple[float, float]:
    """Give the 95 % confidence interval of a share, of at least one try."""
    share = hits / tries
    spread = _Z * _Z / tries
    middle = share + spread / 2
    half = _Z * math.sqrt(share * (1 - share) / tries + spread / (4 * tries))
    return max(0.0, (middle - half) / (1 + spread)), min(1.0, (middle + half) / (1 + spread))


def _share(
    counts: Mapping[tuple[Answer, Answer], int], who: int, answer: Answer, pairs: int
) -> float:
    return sum(count for both, count in counts.items() if both[who] == answer) / pairs


def _beyond(share: float, chance: float) -> float:
    return (share - chance) / (1 - chance)
