"""Figures, goals and a table."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

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
    chart: str | None = None
    """Figures with the same chart are drawn in one, side by side …"""
    who: str | None = None
    """… each under its contender's name."""
    error: str | None = None
    """Why there are no values: a contender that failed has no rate, not a rate of zero."""

    @property
    def median(self) -> float | None:
        """The value quoted."""
        return median(self.values) if self.values else None

    @property
    def reached(self) -> bool | None:
        """Whether the median is on the right side of the goal."""
        if self.goal is None:
            return None
        if self.median is None:
            return False
        return self.median <= self.goal if self.at_most else self.median >= self.goal


@dataclass(frozen=True)
class Series:
    """One thing measured over time, or over the size of something: a line in a chart."""

    chart: str
    name: str
    x: str
    y: str
    points: list[tuple[float, float]]


@dataclass
class Result:
    """What a scenario has found."""

    figures: list[Figure]
    series: list[Series] = field(default_factory=list)
    contenders: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of each: its versions, its settings, and why it failed if it did."""


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the value that `percent` of a hundred do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a table for people."""
    rows = [("figure", "median", "min", "max", "goal", "")]
    for figure in figures:
        if figure.median is None:
            measured = ("failed", "", "")
        else:
            values = (figure.median, min(figure.values), max(figure.values))
            measured = tuple(f"{shown(value)} {figure.unit}" for value in values)
        rows.append((figure.name, *measured, goal(figure), verdict(figure)))
    widths = [max(len(row[i]) for row in rows[:1] + rows) for i in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def goal(figure: Figure) -> str:
    """Return what the figure is to reach, for people; empty when it has no goal."""
    return "" if figure.goal is None else f"{'≤' if figure.at_most else '≥'} {shown(figure.goal)} {figure.unit}"


def verdict(figure: Figure) -> str:
    """Return whether the goal was reached, or why there is no figure."""
    said = {None: "", True: "reached", False: "NOT REACHED"}[figure.reached]
    return f"{said} {figure.error}".strip() if figure.error else said


def shown(value: float) -> str:
    """Return a value with as many digits as mean something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def save(results: dict[str, Result], settings: dict[str, str], asked: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Write the raw values, the settings and the machine beside earlier results; return the file."""
    path = folder / f"{time.strftime('%Y-%m-%dT%H%M%S')}.json"
    document = {
        "machine": machine(),
        "settings": settings,
        "asked": asked,
        "scenarios": {
            name: {
                "contenders": result.contenders,
                "figures": [
                    {**asdict(figure), "median": figure.median, "reached": figure.reached} for figure in result.figures
                ],
                "series": [asdict(series) for series in result.series],
            }
            for name, result in results.items()
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return path


def load(path: Path) -> tuple[dict[str, Result], dict[str, Any]]:
    """Return the results in a file, and everything else that is in it."""
    document = json.loads(path.read_text())
    results = {}
    for name, scenario in document.pop("scenarios").items():
        figures = []
        for each in scenario["figures"]:
            del each["median"], each["reached"]
            figures.append(Figure(**each))
        series = [Series(**{**each, "points": [(x, y) for x, y in each["points"]]}) for each in scenario["series"]]
        results[name] = Result(figures, series, scenario["contenders"])
    return results, document


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    return {
        "cpus": os.cpu_count(),
        "processor": _processor(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": _LOAD_BEFORE,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


_LOAD_BEFORE = [round(load, 2) for load in os.getloadavg()]
"""What else the machine had to do when this began."""
