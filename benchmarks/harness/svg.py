"""Bars and lines as SVG, by hand: two kinds of chart need no library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

WIDTH = 760
LEFT, RIGHT, TOP, BOTTOM = 150, 130, 48, 44
BAR, GAP = 20, 10
PLOT_HEIGHT = 260
OURS_COLOUR, OTHER_COLOUR, BOUND_COLOUR = "#0b6e8a", "#9aa7b0", "#d5dbdf"
COLOURS = ("#0b6e8a", "#d1662b", "#6a4fa3", "#3f8f4f", "#b23a5b", "#8a7a1f", "#4a5a68", "#c08bb0")
FAMILY = "font-family='system-ui, sans-serif'"


class Bar(NamedTuple):
    """One bar, with the whisker from the least value to the greatest."""

    label: str
    value: float | None
    """None: it failed, and there is nothing to draw."""
    least: float
    greatest: float
    colour: str
    text: str


class Line(NamedTuple):
    """One line, its points in the order of x."""

    label: str
    points: Sequence[tuple[float, float]]


def bars(title: str, unit: str, drawn: Sequence[Bar]) -> str:
    """Return horizontal bars, the scale starting at zero."""
    height = TOP + len(drawn) * (BAR + GAP) + BOTTOM
    most = max((bar.greatest for bar in drawn), default=0) or 1.0
    scale = (WIDTH - LEFT - RIGHT) / most
    parts = [_text(16, 26, title, 15, weight="600")]
    for tick in ticks(most):
        x = LEFT + tick * scale
        parts.append(_rule(x, TOP, x, height - BOTTOM + 4, "#e6eaec"))
        parts.append(_text(x, height - BOTTOM + 20, number(tick), 11, "middle"))
    parts.append(_text(WIDTH - RIGHT + 24, height - BOTTOM + 20, unit, 11))
    for at, bar in enumerate(drawn):
        y = TOP + at * (BAR + GAP)
        middle = y + BAR / 2
        parts.append(_text(LEFT - 8, middle + 4, bar.label, 12, "end"))
        if bar.value is None:
            parts.append(_text(LEFT + 6, middle + 4, bar.text, 12, colour="#a02020"))
            continue
        parts.append(f"<rect x='{LEFT}' y='{y}' width='{bar.value * scale:.1f}' height='{BAR}' fill='{bar.colour}'/>")
        parts.append(_rule(LEFT + bar.least * scale, middle, LEFT + bar.greatest * scale, middle, "#222"))
        parts.append(_text(LEFT + bar.greatest * scale + 8, middle + 4, bar.text, 12))
    return _document(height, parts)


def lines(title: str, x: str, y: str, drawn: Sequence[Line]) -> str:
    """Return lines over a common axis, which is logarithmic when it spans more than two powers of ten."""
    height = TOP + PLOT_HEIGHT + BOTTOM + 18 * ((len(drawn) + 1) // 2)
    xs = [point[0] for line in drawn for point in line.points]
    most = max((point[1] for line in drawn for point in line.points), default=0) or 1.0
    low, high = min(xs, default=0.0), max(xs, default=1.0)
    is_log = low > 0 and high / low > 100
    if not is_log and 0 < low < high / 3:
        low = 0.0

    def across(value: float) -> float:
        share = math.log(value / low) / math.log(high / low) if is_log else (value - low) / ((high - low) or 1.0)
        return 70 + share * (WIDTH - 110)

    def down(value: float) -> float:
        return TOP + PLOT_HEIGHT * (1 - value / most)

    parts = [_text(16, 26, f"{title} ({y})", 15, weight="600")]
    for tick in ticks(most):
        parts.append(_rule(70, down(tick), WIDTH - 40, down(tick), "#e6eaec"))
        parts.append(_text(62, down(tick) + 4, number(tick), 11, "end"))
    for value in sorted(set(xs)) if len(set(xs)) <= 6 else [low + tick for tick in ticks(high - low)]:
        parts.append(_text(across(value), TOP + PLOT_HEIGHT + 18, number(value), 11, "middle"))
    parts.append(_text(WIDTH - 40, TOP + PLOT_HEIGHT + 34, x, 11, "end"))
    for at, line in enumerate(drawn):
        colour = COLOURS[at % len(COLOURS)]
        where = [(across(px), down(py)) for px, py in line.points]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in where)
        parts.append(f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'/>")
        if len(where) <= 12:
            parts += [f"<circle cx='{px:.1f}' cy='{py:.1f}' r='3' fill='{colour}'/>" for px, py in where]
        column, row = at % 2, at // 2
        left, top = 70 + column * 330, TOP + PLOT_HEIGHT + 56 + row * 18
        parts.append(f"<rect x='{left}' y='{top - 8}' width='14' height='4' fill='{colour}'/>")
        parts.append(_text(left + 20, top - 2, line.label, 12))
    return _document(height + 12, parts)


def ticks(most: float) -> list[float]:
    """Return three to six round numbers from zero to `most`."""
    if most <= 0:
        return [0.0]
    raw = most / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw)
    return [step * i for i in range(int(most / step) + 1)]


def number(value: float) -> str:
    """Return a number as short as it can be on an axis."""
    for power, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= power:
            return f"{value / power:.3g}{letter}"
    return f"{value:.3g}"


def _text(
    x: float, y: float, said: str, size: int, anchor: str = "start", weight: str = "400", colour: str = "#222"
) -> str:
    style = f"{FAMILY} font-size='{size}' font-weight='{weight}' text-anchor='{anchor}' fill='{colour}'"
    return f"<text x='{x:.1f}' y='{y:.1f}' {style}>{escape(said)}</text>"


def _rule(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{colour}'/>"


def _document(height: float, parts: Sequence[str]) -> str:
    size = f"viewBox='0 0 {WIDTH} {height:.0f}' width='{WIDTH}' height='{height:.0f}'"
    head = f"<svg xmlns='http://www.w3.org/2000/svg' {size}>"
    return "\n".join([head, "<rect width='100%' height='100%' fill='#fff'/>", *parts, "</svg>\n"])
