"""Plots: where things stand in a picture; the templates draw them, without any style of their own.

The one rule: every picture has a table beside it with the same figures.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.policy import Status

WIDTH, HEIGHT = 600.0, 160.0
_GAP = 0.12


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of a stacked bar, or a mark behind all bars."""

    kind: str
    title: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Stack:
    """Stacked bars over time.

    Attributes:
        most: what the upper end of the axis stands for.
        bars: their parts.
        marks: spans behind them.
        labels: of the axis, with their middles.
    """

    most: int
    bars: list[Bar]
    marks: list[Bar]
    labels: list[tuple[float, str]]


def stack(
    counts: Mapping[datetime, Counter[Status]],
    statuses: Sequence[Status],
    *,
    form: str,
    every: int,
    marks: Sequence[tuple[datetime, datetime, str]] = (),
) -> Stack:
    """Stack the counts of each step of time, the first status at the bottom.

    Args:
        counts: by the beginning of each step; steps of one length, oldest first.
        statuses: which, in which order.
        form: how a step is written, as for `strftime`.
        every: of so many steps one has a label.
        marks: spans with what to say of them.
    """
    steps = list(counts)
    most = max((sum(counts[step][status] for status in statuses) for step in steps), default=0)
    wide = WIDTH / max(1, len(steps))
    bars = []
    for place, step in enumerate(steps):
        top = HEIGHT
        for status in statuses:
            many = counts[step][status]
            tall = many / (most or 1) * HEIGHT
            top -= tall
            if many:
                bars.append(
                    Bar(
                        kind=status,
                        title=f"{step.strftime(form)}: {many} {status}",
                        x=round(wide * (place + _GAP), 1),
                        y=round(top, 1),
                        width=round(wide * (1 - 2 * _GAP), 1),
                        height=round(tall, 1),
                    )
                )
    return Stack(
        most=most,
        bars=bars,
        marks=_marks(steps, marks),
        labels=[
            (round((place + 0.5) * wide, 1), step.strftime(form))
            for place, step in enumerate(steps)
            if place % every == 0
        ],
    )


def _marks(steps: Sequence[datetime], marks: Sequence[tuple[datetime, datetime, str]]) -> list[Bar]:
    if len(steps) < 2:
        return []
    begin, whole = steps[0], (steps[-1] - steps[0]) + (steps[1] - steps[0])
    found = []
    for since, until, title in marks:
        left = max(0.0, (since - begin) / whole * WIDTH)
        right = min(WIDTH, (until - begin) / whole * WIDTH)
        if right > left:
            width = round(max(2.0, right - left), 1)
            found.append(Bar("storm", title, round(left, 1), 0.0, width, HEIGHT))
    return found
