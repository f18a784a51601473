"""The default: min(2^a s + U[0,1) · 0.25 · 2^a s, 24 h). The presets: within their bounds, whatever their numbers."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awa import ValidationError
from awa.backoff import DAY_US, DELAY_SECONDS_MAX, Preset, constant, delay_us, exponential, linear

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


SECONDS = st.floats(0, 1e6)
PRESETS = st.one_of(
    st.builds(exponential, SECONDS, st.floats(1, 1000), most=st.floats(1e6, DELAY_SECONDS_MAX), jitter=st.floats(0, 1)),
    st.builds(linear, SECONDS, SECONDS, most=st.floats(1e6, DELAY_SECONDS_MAX), jitter=st.floats(0, 1)),
    st.builds(constant, SECONDS, jitter=st.floats(0, 1)),
)


@given(PRESETS, st.integers(1, 1000), UNIFORM)
def test_jitter_only_adds_and_never_beyond_the_most(preset: Preset, attempt: int, uniform: float) -> None:
    least, delay = preset.delay_us(attempt, 0.0), preset.delay_us(attempt, uniform)
    assert 0 <= least <= delay <= round(preset.most * 1_000_000)
    assert delay <= least * (1 + preset.jitter) + 1


@given(PRESETS, st.integers(1, 999), UNIFORM)
def test_no_preset_waits_less_later(preset: Preset, attempt: int, uniform: float) -> None:
    assert preset.delay_us(attempt, uniform) <= preset.delay_us(attempt + 1, uniform)


@given(st.integers(1, 1000), UNIFORM)
def test_the_default_is_the_exponential_preset(attempt: int, uniform: float) -> None:
    assert exponential().delay_us(attempt, uniform) == delay_us(attempt, uniform)


@pytest.mark.parametrize(
    ("preset", "seconds"),
    [
        (exponential(1, 3, jitter=0), [1, 3, 9, 27]),
        (exponential(10, 10, most=500), [10, 100, 500, 500]),
        (exponential(0), [0, 0, 0, 0]),
        (exponential(5, 1), [5, 5, 5, 5]),
        (linear(), [10, 20, 30, 40]),
        (linear(5, 1.5), [5, 6.5, 8, 9.5]),
        (linear(5, most=12), [5, 10, 12, 12]),
        (constant(0.25), [0.25] * 4),
    ],
)
def test_golden_presets(preset: Preset, seconds: list[float]) -> None:
    assert [preset.delay_us(attempt, 0.0) / 1_000_000 for attempt in range(1, 5)] == seconds


def test_numbers_beyond_floats_are_cut_to_the_most() -> None:
    assert exponential(1, 1000, most=9).delay_us(1000, 0.5) == 9_000_000


def test_a_preset_tells_what_it_is() -> None:
    assert str(exponential(1)) == "exponential(first=1, factor=2, most=86400, jitter=0.25)"
    assert str(linear(5, most=60)) == "linear(first=5, step=5, most=60, jitter=0.25)"
    assert str(constant(0.5)) == "constant(0.5, jitter=0)"


@pytest.mark.parametrize(
    ("make", "numbers", "text"),
    [
        (exponential, {"first": -1}, "exponential backoff: first is -1; it must be a number from 0 to"),
        (exponential, {"first": math.nan}, "first is nan"),
        (exponential, {"first": "2"}, "first is '2'"),
        (exponential, {"factor": 0.5}, "factor is 0.5; it must be a number from 1 to 1000"),
        (exponential, {"first": 60, "most": 30}, "most is 30; it must be a number from 60 to"),
        (exponential, {"most": math.inf}, "most is inf"),
        (exponential, {"jitter": 1.5}, "jitter is 1.5; it must be a number from 0 to 1"),
        (linear, {"step": -1}, "linear backoff: step is -1"),
        (linear, {"jitter": None}, "jitter is None"),
        (linear, {"first": 100_000}, "most is 86400"),
        (constant, {"seconds": True}, "constant backoff: seconds is True"),
        (constant, {"jitter": -0.1}, "jitter is -0.1"),
    ],
)
def test_presets_refuse_numbers_that_mean_nothing(make: Any, numbers: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        make(**numbers)
