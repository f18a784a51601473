"""Delays before the next attempt of a job whose attempt failed.

A task takes a preset made here (`backoff=linear(10)`), a preset's name (`backoff="linear"`), or a function of its own
from the number of the attempt that failed (1, 2, …) to seconds. Without one it is `exponential()`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from awa.errors import ValidationError

SECOND_US: Final = 1_000_000
DAY_S: Final = 86_400
DAY_US: Final = DAY_S * SECOND_US
DELAY_SECONDS_MAX: Final = 100 * 366 * DAY_S
"""A hundred years: later than any intended run time, and far inside what Postgres can store."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A delay that depends on nothing but the attempt and chance. `str()` says which one it is."""

    shown: str
    base: Callable[[int], float] = field(compare=False, repr=False)
    """Seconds before jitter. May overflow: what is beyond all numbers is beyond `most`."""
    most: float
    """Seconds; jitter included."""
    jitter: float
    """The part of the delay that is added to it at most, by chance, from 0 to 1."""

    def delay_us(self, attempt: int, uniform: float) -> int:
        """Return the delay in microseconds after `attempt` (counted from 1) has failed.

        `uniform` is a random number from [0, 1); the caller draws it, so that this stays a function of its arguments.
        """
        try:
            seconds = self.base(attempt)
        except OverflowError:
            seconds = math.inf
        return round(min(seconds * (1 + self.jitter * uniform), self.most) * SECOND_US)

    def __str__(self) -> str:
        return self.shown


def _check(name: str, value: Any, least: float, most: float) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:  # NaN is not
        raise ValidationError(f"{name} is {value!r}; it must be a number from {least:g} to {most:g}")


def exponential(first: float = 2, factor: float = 2, *, most: float = DAY_S, jitter: float = 0.25) -> Preset:
    """Wait `first` seconds after the first attempt, and `factor` times as long after each further one.

    A part of up to `jitter` (0 to 1) is added by chance, so that jobs which failed together do not come back together;
    the sum is at most `most` seconds. Raises ValidationError.
    """
    _check("exponential backoff: first", first, 0, DELAY_SECONDS_MAX)
    _check("exponential backoff: most", most, first, DELAY_SECONDS_MAX)
    _check("exponential backoff: factor", factor, 1, 1000)
    _check("exponential backoff: jitter", jitter, 0, 1)
    shown = f"exponential(first={first:g}, factor={factor:g}, most={most:g}, jitter={jitter:g})"
    return Preset(shown, lambda attempt: first * float(factor) ** (attempt - 1), most, jitter)


def linear(first: float = 10, step: float | None = None, *, most: float = DAY_S, jitter: float = 0.25) -> Preset:
    """Wait `first` seconds after the first attempt, and `step` seconds (left out: `first`) more after each further one.

    `most` and `jitter` are those of `exponential`. Raises ValidationError.
    """
    step = first if step is None else step
    _check("linear backoff: first", first, 0, DELAY_SECONDS_MAX)
    _check("linear backoff: step", step, 0, DELAY_SECONDS_MAX)
    _check("linear backoff: most", most, first, DELAY_SECONDS_MAX)
    _check("linear backoff: jitter", jitter, 0, 1)
    shown = f"linear(first={first:g}, step={step:g}, most={most:g}, jitter={jitter:g})"
    return Preset(shown, lambda attempt: first + step * (attempt - 1), most, jitter)


def constant(seconds: float = 60, *, jitter: float = 0) -> Preset:
    """Wait `seconds` after every attempt, and a part of up to `jitter` (0 to 1) more. Raises ValidationError."""
    _check("constant backoff: seconds", seconds, 0, DELAY_SECONDS_MAX)
    _check("constant backoff: jitter", jitter, 0, 1)
    return Preset(f"constant({seconds:g}, jitter={jitter:g})", lambda attempt: seconds, DELAY_SECONDS_MAX, jitter)


DEFAULT: Final = exponential()
"""2 s after the first attempt, 4 s, 8 s, … and up to a quarter more; at most a day."""
PRESETS: Final = {"exponential": DEFAULT, "linear": linear(), "constant": constant()}


def delay_us(attempt: int, uniform: float) -> int:
    """Return the default delay in microseconds after `attempt` (counted from 1) has failed; see `Preset.delay_us`."""
    return DEFAULT.delay_us(attempt, uniform)
