"""min(2^a s + U[0,1) · 0.25 · 2^a s, 24 h)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awa.backoff import DAY_US, delay_us

UNIFORM = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("attempt", "uniform", "seconds"),
    [(1, 0.0, 2), (1, 0.5, 2.25), (2, 0.0, 4), (5, 0.0, 32), (10, 0.999, 1279.744), (16, 0.0, 65_536)],
)
def test_golden(attempt: int, uniform: float, seconds: float) -> None:
    assert delay_us(attempt, uniform) == round(seconds * 1_000_000)


@given(st.integers(1, 1000), UNIFORM)
def test_within_the_promised_bounds(attempt: int, uniform: float) -> None:
    base = min(2**attempt * 1_000_000, DAY_US)
    assert base <= delay_us(attempt, uniform) <= min(base * 1.25, DAY_US)


@given(st.integers(1, 1000), UNIFORM)
def test_a_later_attempt_never_waits_less(attempt: int, uniform: float) -> None:
    assert delay_us(attempt, uniform) <= delay_us(attempt + 1, uniform)


def test_never_more_than_a_day() -> None:
    assert delay_us(16, 0.9999999) < delay_us(17, 0.0) == delay_us(30_000, 0.5) == DAY_US
