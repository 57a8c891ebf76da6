"""Plots: where things stand in a picture; the templates draw them, without any style of their own.

The one rule: every picture has a table beside it with the same figures.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.pure.policy import Status

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
    """Bars over steps, of time or of something else.

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


@dataclass(frozen=True, slots=True)
class Line:
    """A line with a dot at each of its points.

    Attributes:
        kind: which of the plot's lines.
        path: its points, as SVG writes them.
        dots: the points, with what to say of each.
    """

    kind: str
    path: str
    dots: list[tuple[float, float, str]]


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines over two axes; `across` and `up` are the axes' labels with their places."""

    lines: list[Line]
    across: list[tuple[float, str]]
    up: list[tuple[float, str]]


def growth(points: Sequence[Mapping[str, float]]) -> Lines:
    """Draw a learning curve: what each number of labels gets right, and the model without any.

    The numbers of labels double, so they stand at equal distances.

    Args:
        points: `labels` and `right`, the first without any label.
    """
    least = math.floor(min(point["right"] for point in points) * 10) / 10
    least = min(least, 0.9)

    def height(share: float) -> float:
        return round((1 - share) / (1 - least) * HEIGHT, 1)

    wide = WIDTH / max(1, len(points) - 1)
    dots = [
        (
            round(place * wide, 1),
            height(point["right"]),
            f"{point['labels']} labels: {point['right']:.1%} right",
        )
        for place, point in enumerate(points)
    ]
    base = dots[0][1]
    return Lines(
        lines=[
            Line("current", f"0,{base} {WIDTH},{base}", []),
            Line("candidate", _path(dots), dots),
        ],
        across=[(dot[0], f"{point['labels']}") for dot, point in zip(dots, points, strict=True)],
        up=[(height(tenth / 10), f"{tenth * 10} %") for tenth in range(round(least * 10), 11)],
    )


def reliability(rows: Sequence[Mapping[str, float]]) -> Lines:
    """Draw what became of those with about one probability; a model that is right is a diagonal.

    Args:
        rows: `predicted`, `spam` (shares) and `count`, by ascending prediction.
    """
    dots = [
        (
            round(row["predicted"] * WIDTH, 1),
            round((1 - row["spam"]) * HEIGHT, 1),
            f"{row['count']} at {row['predicted']:.0%}: {row['spam']:.0%} were spam",
        )
        for row in rows
    ]
    ticks = [tenth / 10 for tenth in range(0, 11, 2)]
    return Lines(
        lines=[
            Line("current", f"0,{HEIGHT} {WIDTH},0", []),
            Line("candidate", _path(dots), dots),
        ],
        across=[(tick * WIDTH, f"{tick:.0%}") for tick in ticks],
        up=[((1 - tick) * HEIGHT, f"{tick:.0%}") for tick in ticks],
    )


def scores(ham: Sequence[int], spam: Sequence[int]) -> Stack:
    """Draw how good comments and spam were scored: two bars for each step of the score.

    Args:
        ham: how many good comments were in each step from 0 to 1.
        spam: the same of spam.
    """
    most = max(*ham, *spam, 1)
    wide = WIDTH / len(ham)
    bars = []
    for place, counts in enumerate(zip(ham, spam, strict=True)):
        span = f"{place / len(ham):.0%} to {(place + 1) / len(ham):.0%}"
        for side, (kind, named) in enumerate((("approved", "good"), ("spam", "spam"))):
            tall = counts[side] / most * HEIGHT
            if counts[side]:
                bars.append(
                    Bar(
                        kind=kind,
                        title=f"{span}: {counts[side]} {named}",
                        x=round(wide * (place + _GAP + side * (0.5 - _GAP)), 1),
                        y=round(HEIGHT - tall, 1),
                        width=round(wide * (0.5 - _GAP), 1),
                        height=round(tall, 1),
                    )
                )
    ticks = [(tenth / 10 * WIDTH, f"{tenth * 10} %") for tenth in range(0, 11, 2)]
    return Stack(most=most, bars=bars, marks=[], labels=ticks)


def _path(dots: Sequence[tuple[float, float, str]]) -> str:
    return " ".join(f"{x},{y}" for x, y, _ in dots)
