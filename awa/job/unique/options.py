"""The uniqueness options of an insert: `unique_opts`, checked."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final, Literal, NamedTuple

from awa.errors import ValidationError
from awa.job.codec.refusal import INT_MAX, INT_MIN
from awa.job.model import JobState
from awa.text.suggest import hint

OnConflict = Literal["error", "skip", "replace"]

STATES_DEFAULT: Final = 0b10011111
"""A job holds its key while it is scheduled, available, running, completed, retryable or waiting_external."""
STATES_MAX: Final = (1 << len(JobState)) - 1
ON_CONFLICT: Final = ("error", "skip", "replace")


class UniqueOptions(NamedTuple):
    """The fields by which two jobs are the same, and the treatment of the second. The defaults are those of
    `unique_opts`."""

    by_queue: bool = False
    by_args: bool | tuple[str, ...] = True
    """True if by all args, by none, or by those with these names."""
    by_period: int | None = None
    """The number of the period the job belongs to; jobs of different periods are never the same."""
    states: int = STATES_DEFAULT
    """The states in which a job holds its key: bit i is the state of value i."""
    on_conflict: OnConflict | None = None
    """None: the caller has not said, which means "error" for one job and "skip" for many."""


_DEFAULT: Final = UniqueOptions()


def check_unique(unique_opts: Any, *, now: float | None = None) -> UniqueOptions | None:
    """Return what the dict `unique_opts` says, or None for None.

    A `by_period` that is a timedelta becomes the number of the period that `now` (seconds since 1970; the clock of
    this machine unless given) lies in. Raises ValidationError that names the value and what is allowed, and
    OverflowError for a number that has too many bits.
    """
    if unique_opts is None:
        return None
    if not isinstance(unique_opts, dict):
        raise ValidationError(
            f"unique_opts is of type {type(unique_opts).__qualname__}; it must be a dict with any of the keys {_KNOWN}"
        )
    checked: dict[str, Any] = {}
    for key, value in unique_opts.items():
        match key:
            case "by_queue":
                checked[key] = _checked_flag(key, value)
            case "by_args":
                checked[key] = _checked_by_args(value)
            case "by_period":
                checked[key] = period_number(value, name="unique_opts by_period", now=now)
            case "states":
                checked[key] = _checked_states(value)
            case "on_conflict":
                checked[key] = _checked_on_conflict(value)
            case _:
                raise ValidationError(_unknown(key))
    return UniqueOptions(**checked) if checked else _DEFAULT


def check_begins(unique: UniqueOptions, begins: JobState) -> None:
    """Raise ValidationError where a job that begins in state `begins` would not hold its key there."""
    if not unique.states >> begins & 1:
        raise ValidationError(
            f"unique_opts states leaves out {begins}, in which this job begins: it would never hold its key; add it"
        )


def period_number(period: Any, *, name: str, now: float | None = None) -> int | None:
    """Return the number of a period: itself, or for a timedelta how many of them have passed since 1970."""
    if isinstance(period, timedelta):
        return _current(period, name, now)
    if period is None:
        return None
    if isinstance(period, bool) or not isinstance(period, int):
        raise ValidationError(
            f"{name} is {_shown(period)}; it must be None, a timedelta, or the number of a period (epoch // seconds)"
        )
    if not INT_MIN <= period <= INT_MAX:
        raise OverflowError(f"{name} has {period.bit_length()} bits; it must be from {INT_MIN} to {INT_MAX}")
    return int(period)


def _current(period: timedelta, name: str, now: float | None) -> int:
    # In whole microseconds, since a quotient of floats may fall short of the period that has just begun.
    microseconds = period // timedelta(microseconds=1)
    if microseconds <= 0:
        raise ValidationError(f"{name} is {_shown(period)}; a period must be longer than nothing")
    now_us = time.time_ns() // 1000 if now is None else int(now * 1_000_000)
    return now_us // microseconds


def _checked_flag(key: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValidationError(f"unique_opts {key} is {_shown(value)}; it must be True or False")


def _checked_by_args(value: Any) -> bool | tuple[str, ...]:
    if isinstance(value, bool):
        return value
    wanted = "it must be True, False, or a list of names of args"
    if isinstance(value, str):
        raise ValidationError(f"unique_opts by_args is {_shown(value)}; {wanted}: [{value!r}]")
    if not isinstance(value, (list, tuple, set, frozenset)) or not all(isinstance(name, str) for name in value):
        raise ValidationError(f"unique_opts by_args is {_shown(value)}; {wanted}")
    if not value:
        raise ValidationError("unique_opts by_args is an empty list; to leave the args out of the key, say False")
    names = tuple(value)
    if len(set(names)) < len(names):
        twice = next(name for at, name in enumerate(names) if name in names[:at])
        raise ValidationError(f"unique_opts by_args names {twice!r} twice; once is enough")
    return names


def _checked_states(value: Any) -> int:
    if isinstance(value, JobState):
        raise ValidationError(f"unique_opts states is {value!r}; put it in a list: [{value!r}]")
    if isinstance(value, int) and not isinstance(value, bool):
        mask = int(value)
    elif isinstance(value, Iterable) and not isinstance(value, (str, bytes, bytearray, dict)):
        mask = _mask(value)
    else:
        raise ValidationError(
            f"unique_opts states is {_shown(value)}; it must be a mask (bit i: the state of value i) "
            f"or a list of states or their names"
        )
    if mask > STATES_MAX:
        raise OverflowError(
            f"unique_opts states is a mask of {mask.bit_length()} bits; there are {len(JobState)} states: "
            f"at most {STATES_MAX}"
        )
    if mask <= 0:
        raise ValidationError(
            f"unique_opts states is {_shown(value)}; a job must hold its key in one state at least: "
            f"1 to {STATES_MAX}, or leave unique_opts out"
        )
    return mask


def _mask(states: Iterable[Any]) -> int:
    mask = 0
    for state in states:
        try:
            mask |= 1 << JobState.parse(state)
        except (ValueError, TypeError):
            raise ValidationError(
                f"unique_opts states holds {_shown(state)}; expected one of: {', '.join(map(str, JobState))}"
            ) from None
    return mask


def _checked_on_conflict(value: Any) -> OnConflict | None:
    if value is None or (isinstance(value, str) and value in ON_CONFLICT):
        return value  # type: ignore[return-value]
    raise ValidationError(f"unique_opts on_conflict is {_shown(value)}; it must be one of: {', '.join(ON_CONFLICT)}")


def _unknown(key: object) -> str:
    return f"unique_opts has the unknown key {_shown(key)}; {hint(str(key), UniqueOptions._fields)}"


def _shown(value: object) -> str:
    return f"{value!r:.100}"


_KNOWN: Final = ", ".join(UniqueOptions._fields)
