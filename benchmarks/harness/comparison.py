"""What all contenders were measured at, as figures: each by itself, and Awa's beside each of the others'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from benchmarks.harness.report import Figure
from benchmarks.harness.rivals.specs import ALL, OURS

FASTEST_PYTHON = "the fastest library in Python"


def compare(
    title: str,
    unit: str,
    measured: Mapping[str, Sequence[float]],
    failed: Mapping[str, str],
    goals: Mapping[str, float] | None = None,
    *,
    less_is_better: bool = False,
) -> list[Figure]:
    """Return a figure for each contender, and one for the ratio of Awa to it, round by round.

    `goals` says what the ratio is to reach, by contender, or for the fastest in Python. A contender that has failed has
    a figure without values, and so has its ratio.
    """
    goals = goals or {}
    figures = [Figure(f"{title}: {who}", unit, list(values), chart=title, who=who) for who, values in measured.items()]
    ours = measured.get(OURS.name)
    if ours is not None:
        others = {who: values for who, values in measured.items() if who != OURS.name}
        fastest = _fastest_python(others, less_is_better)
        for who, values in others.items():
            ratios = [mine / theirs for mine, theirs in zip(ours, values, strict=True)]
            wanted = goals.get(who) or (goals.get(FASTEST_PYTHON) if who == fastest else None)
            name = f"{title}: awa ÷ {who}" + (f" ({FASTEST_PYTHON})" if who == fastest else "")
            figures.append(Figure(name, "×", ratios, wanted, at_most=less_is_better))
    for who, error in failed.items():
        figures.append(Figure(f"{title}: {who}", unit, [], chart=title, who=who, error=error))
        if who in goals:
            figures.append(
                Figure(f"{title}: awa ÷ {who}", "×", [], goals[who], at_most=less_is_better, error="it has failed")
            )
    return figures


def _fastest_python(measured: Mapping[str, Sequence[float]], less_is_better: bool) -> str | None:
    python = {who: median(values) for who, values in measured.items() if ALL[who].is_python and not ALL[who].is_bound}
    if not python:
        return None
    return (min if less_is_better else max)(python, key=lambda who: python[who])
