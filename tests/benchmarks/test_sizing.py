"""Which variant of a contender takes part: the fastest, found without measuring the slow ones for long."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.harness.field import LONG_S, PROBE, Field
from benchmarks.harness.plan import Plan
from benchmarks.harness.rivals.specs import Spec

SPEC = Spec("rival", "rival", variants=tuple({"many": many} for many in range(6)))


class Sizing(Field):
    """A field of one contender, whose variants have a rate and a time to get going each."""

    def __init__(self, rates: list[float], start_s: list[float]) -> None:
        super().__init__([], None, None, Plan())  # type: ignore[arg-type]
        self.spent_s = [0.0] * len(rates)
        self._rates, self._start_s = rates, start_s

    def drain(self, contender: Any, jobs: int, *, variant: Any = None, **options: Any) -> Any:
        at = variant["many"]
        took_s = self._start_s[at] + jobs / self._rates[at]
        self.spent_s[at] += took_s
        return SimpleNamespace(rate=jobs / took_s)


@pytest.fixture
def contender(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("benchmarks.harness.field._sized_up", {})
    return SimpleNamespace(name="rival", spec=SPEC, variant={}, rate=None)


@pytest.mark.parametrize("best", range(6))
def test_the_fastest_takes_part_and_the_slow_ones_are_soon_out(contender: Any, best: int) -> None:
    rates = [2_000.0 + 100 * at for at in range(6)]
    rates[best] = 20_000.0
    it = Sizing(rates, [0.2] * 6)
    it.size_up(contender)
    assert contender.variant == SPEC.variants[best]
    assert contender.rate == pytest.approx(20_000, rel=0.2)
    assert max(spent for at, spent in enumerate(it.spent_s) if at != best) < LONG_S


def test_who_takes_long_to_get_going_is_not_judged_by_that(contender: Any) -> None:
    it = Sizing([3_000.0, 6_000.0, 1_500.0, 1_500.0, 1_500.0, 1_500.0], [0.01, 0.2, 0.3, 0.3, 0.3, 0.3])
    it.size_up(contender)
    assert contender.variant == SPEC.variants[1]


def test_a_rate_is_that_of_so_many_jobs_that_more_make_no_difference(contender: Any) -> None:
    it = Sizing([50_000.0] * 6, [0.5] * 6)
    it.size_up(contender)
    assert contender.rate > 40_000
    assert contender.rate > PROBE / 0.5
