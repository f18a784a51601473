"""Figures, goals and a table."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).resolve().parents[1] / "results"


@dataclass(frozen=True)
class Figure:
    """One thing measured, several times."""

    name: str
    unit: str
    values: list[float]
    goal: float | None = None
    at_most: bool = False
    """Whether the goal is an upper limit."""

    @property
    def median(self) -> float:
        """The value quoted."""
        return median(self.values)

    @property
    def reached(self) -> bool | None:
        """Whether the median is on the right side of the goal."""
        if self.goal is None:
            return None
        return self.median <= self.goal if self.at_most else self.median >= self.goal


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that `percent` of a hundred do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a table for people."""
    rows = [("figure", "median", "min", "max", "goal", "")]
    for figure in figures:
        goal = "" if figure.goal is None else f"{'≤' if figure.at_most else '≥'} {figure.goal:,g} {figure.unit}"
        verdict = {None: "", True: "reached", False: "NOT REACHED"}[figure.reached]
        values = (figure.median, min(figure.values), max(figure.values))
        rows.append((figure.name, *(f"{_shown(value)} {figure.unit}" for value in values), goal, verdict))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def save(figures: Sequence[Figure], settings: dict[str, str]) -> Path:
    """Write the raw values, the settings and the machine beside earlier results; return the file."""
    path = RESULTS / f"{time.strftime('%Y-%m-%dT%H%M%S')}.json"
    document = {
        "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "settings": settings,
        "figures": [{**asdict(figure), "median": figure.median, "reached": figure.reached} for figure in figures],
    }
    RESULTS.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")
    return path


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
