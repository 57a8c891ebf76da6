"""Line plots as SVG, without a plotting library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

import numpy as np

from classifier.features import Floats

_WIDTH: Final = 640
_HEIGHT: Final = 400
_MARGIN: Final = 60
_LEGEND: Final = 18
_COLOURS: Final = ("#1b6ca8", "#c0392b", "#27855a", "#8e44ad", "#b9770e", "#34495e")


@dataclass(frozen=True, slots=True)
class Series:
    """One line.

    Attributes:
        name: What the legend calls it.
        x: Positions across.
        y: Heights, as many.
    """

    name: str
    x: Floats
    y: Floats


def plot(series: Sequence[Series], across: str, up: str) -> str:
    """Draw lines on common axes.

    Args:
        series: At least one line.
        across: What the horizontal axis shows.
        up: What the vertical axis shows.

    Returns:
        An SVG document.
    """
    xs = np.concatenate([line.x for line in series])
    ys = np.concatenate([line.y for line in series])
    left, right = float(xs.min()), float(xs.max()) or 1.0
    low, high = min(0.0, float(ys.min())), float(ys.max()) or 1.0
    width, height = _WIDTH - 2 * _MARGIN, _HEIGHT - 2 * _MARGIN

    def place(x: float, y: float) -> str:
        along = _MARGIN + width * (x - left) / ((right - left) or 1.0)
        above = _HEIGHT - _MARGIN - height * (y - low) / ((high - low) or 1.0)
        return f"{along:.1f},{above:.1f}"

    total = _HEIGHT + _LEGEND * len(series)
    bottom, side = _HEIGHT - _MARGIN, _WIDTH - _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {total}">',
        '<g font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{total}" fill="white"/>',
        f'<path d="M{_MARGIN},{_MARGIN} V{bottom} H{side}" fill="none" stroke="black"/>',
        f'<text x="{_WIDTH / 2}" y="{bottom + 40}" text-anchor="middle">{escape(across)}</text>',
        f'<text x="{_MARGIN}" y="{_MARGIN - 12}">{escape(up)}</text>',
    ]
    for share in (0.0, 0.5, 1.0):
        x, y = left + share * (right - left), low + share * (high - low)
        at_x, at_y = _MARGIN + share * width, bottom - share * height
        parts.append(f'<text x="{at_x:.1f}" y="{bottom + 16}" text-anchor="middle">{x:.3g}</text>')
        parts.append(f'<text x="{_MARGIN - 6}" y="{at_y + 4:.1f}" text-anchor="end">{y:.3g}</text>')
    for number, line in enumerate(series):
        colour = _COLOURS[number % len(_COLOURS)]
        points = " ".join(
            place(x, y) for x, y in zip(line.x.tolist(), line.y.tolist(), strict=True)
        )
        below = _HEIGHT + _LEGEND * number
        parts += [
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>',
            f'<text x="{_MARGIN}" y="{below}" fill="{colour}">{escape(line.name)}</text>',
        ]
    return "\n".join([*parts, "</g></svg>\n"])
