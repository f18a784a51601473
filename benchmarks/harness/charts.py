"""The charts of a run: one for each comparison of contenders, one for each thing that was followed over something."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from benchmarks.harness.report import Figure, Result, Series, shown
from benchmarks.harness.rivals.specs import ALL, OURS
from benchmarks.harness.svg import BOUND_COLOUR, OTHER_COLOUR, OURS_COLOUR, Bar, Line, bars, lines


def draw_all(results: Mapping[str, Result], folder: Path) -> list[Path]:
    """Write the charts of all results into `folder`; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for result in results.values():
        for title, figures in _grouped(result.figures).items():
            drawn.append(folder / f"{slug(title)}.svg")
            drawn[-1].write_text(_compared(title, figures))
        for title, series in _followed(result.series).items():
            drawn.append(folder / f"{slug(title)}.svg")
            drawn[-1].write_text(lines(title, series[0].x, series[0].y, [Line(it.name, it.points) for it in series]))
    return drawn


def slug(title: str) -> str:
    """Return a title as the name of a file."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def _compared(title: str, figures: list[Figure]) -> str:
    """Return bars, Awa's first, the others by rank, those that failed last."""

    def rank(figure: Figure) -> tuple[bool, bool, float]:
        return figure.who != OURS.name, figure.median is None, -(figure.median or 0.0)

    return bars(title, figures[0].unit, [_bar(figure) for figure in sorted(figures, key=rank)])


def _bar(figure: Figure) -> Bar:
    who = figure.who or figure.name
    if figure.median is None:
        return Bar(who, None, 0, 0, OTHER_COLOUR, f"failed: {(figure.error or '')[:60]}")
    colour = OURS_COLOUR if who == OURS.name else BOUND_COLOUR if who in ALL and ALL[who].is_bound else OTHER_COLOUR
    return Bar(who, figure.median, min(figure.values), max(figure.values), colour, shown(figure.median))


def _grouped(figures: Iterable[Figure]) -> dict[str, list[Figure]]:
    groups: dict[str, list[Figure]] = {}
    for figure in figures:
        if figure.chart:
            groups.setdefault(figure.chart, []).append(figure)
    return groups


def _followed(series: Iterable[Series]) -> dict[str, list[Series]]:
    groups: dict[str, list[Series]] = {}
    for each in series:
        groups.setdefault(each.chart, []).append(each)
    return groups
