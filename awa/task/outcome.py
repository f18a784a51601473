"""Outcomes of attempts. A handler returns or raises; two pure functions turn that into an `Outcome`.

What a handler may return to steer its job is here too: `RetryAfter`, `Snooze`, `Cancel`. Everything else it returns is
the job's result.

A result that cannot be stored (not JSON, or too large) does not fail the job: its work is done, and running it again
would do it twice. The job is completed and the reason stands where the result would be (see `result_refusal`).
"""

from __future__ import annotations

import inspect
import math
import random
from dataclasses import dataclass
from types import AsyncGeneratorType, GeneratorType
from typing import Any, Final, NamedTuple

from awa import backoff
from awa.backoff import DELAY_SECONDS_MAX
from awa.errors import TerminalError, ValidationError
from awa.job import codec
from awa.job.model import JobState
from awa.task.error_entry import describe, error_entry, headline, storable
from awa.task.exceptions import module, name
from awa.task.policy import Policy

RESULT_BYTES_MAX: Final = 1_000_000
RESULT_NOT_STORED: Final = "awa:result_not_stored"
"""The only key of the object that stands in for a result which could not be stored."""
_PLAIN: Final = Policy()


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Return this to have the job retried after exactly `seconds` (below zero: at once).

    The attempt counts, no error is recorded. On the last attempt the job fails instead.
    """

    seconds: float

    def __post_init__(self) -> None:
        _check_seconds(self)


@dataclass(frozen=True, slots=True)
class Snooze:
    """Return this to have the job run again after exactly `seconds`, as if this attempt had not been."""

    seconds: float

    def __post_init__(self) -> None:
        _check_seconds(self)


@dataclass(frozen=True, slots=True)
class Cancel:
    """Return this to end the job as cancelled, for `reason`."""

    reason: str = "cancelled by handler"


class Outcome(NamedTuple):
    """The new state of a job after an attempt, with its delay and its result or error."""

    state: JobState
    """Completed, Retryable, Failed, Cancelled, or Scheduled (snoozed: the attempt is not consumed)."""
    delay_us: int | None = None
    """Microseconds until the next attempt, for Retryable and Scheduled."""
    payload: bytes | None = None
    """JSON: the result of a completed job, else the error entry, if there is one."""


COMPLETED: Final = Outcome(JobState.Completed)
"""The verdict on nearly every attempt."""


def decide_result(value: object, attempt: int, max_attempts: int, *, now_us: int | None = None) -> Outcome:
    """Return the verdict on an attempt whose handler returned `value`.

    `attempt` counts from 1. `now_us` (microseconds since the epoch) stamps the error entry; left out, the clock does.
    """
    match value:
        case None:
            return COMPLETED
        case RetryAfter(seconds=seconds) if attempt < max_attempts:
            return Outcome(JobState.Retryable, _microseconds(seconds))
        case RetryAfter():
            text = f"RetryAfter: no attempts left ({attempt} of {max_attempts})"
            return Outcome(JobState.Failed, None, error_entry(text, "RetryAfter", attempt, now_us=now_us))
        case Snooze(seconds=seconds):
            return Outcome(JobState.Scheduled, _microseconds(seconds))
        case Cancel(reason=reason):
            return Outcome(
                JobState.Cancelled, None, error_entry(f"cancelled: {reason}", "Cancel", attempt, now_us=now_us)
            )
        case GeneratorType() | AsyncGeneratorType() if _has_run_nothing(value):
            text = f"TypeError: the handler returned the generator {value.__qualname__}, of which nothing has run"
            return Outcome(JobState.Failed, None, error_entry(text, "TypeError", attempt, terminal=True, now_us=now_us))
        case _:
            return Outcome(JobState.Completed, None, _encode_result(value))


def decide_error(
    exc: BaseException,
    attempt: int,
    max_attempts: int,
    policy: Policy = _PLAIN,
    *,
    terminal: bool = False,
    uniform: float | None = None,
    now_us: int | None = None,
) -> Outcome:
    """Return the verdict on an attempt that raised `exc`.

    Retryable after the policy's backoff while attempts remain, else failed. Failed at once for a `TerminalError`, for
    what the policy gives up on, or when the caller knows that no retry can help (`terminal`: arguments that do not fit
    the handler's type). `uniform` is the random number from [0, 1) behind the jitter and `now_us` the time of the
    entry; left out, they are drawn here.

    A backoff of the task's that does not work costs the job nothing: the default takes its place, and the entry's
    `backoff` says why.
    """
    terminal = terminal or issubclass(type(exc), TerminalError) or policy.gives_up_on(exc)
    is_last = terminal or attempt >= max_attempts
    delay_us, problem = (None, None) if is_last else _delay(policy, attempt, uniform)
    where = module(exc)
    details = {"module": where and storable(where), "backoff": problem}
    entry = error_entry(describe(exc), name(exc), attempt, terminal=terminal, now_us=now_us, **details)
    return Outcome(JobState.Failed if is_last else JobState.Retryable, delay_us, entry)


def result_refusal(result: object) -> str | None:
    """Return why a stored `result` is only a stand-in for one that could not be stored; None for a real one."""
    if isinstance(result, dict) and result.keys() == {RESULT_NOT_STORED}:
        return str(result[RESULT_NOT_STORED])
    return None


def _has_run_nothing(value: GeneratorType[Any, Any, Any] | AsyncGeneratorType[Any, Any]) -> bool:
    """Return True for a function that a decorator has hidden the `yield` of; an expression is a result, and no work."""
    if isinstance(value, AsyncGeneratorType):
        return value.ag_code.co_name != "<genexpr>"  # whether it has begun is known from Python 3.12 on
    return value.gi_code.co_name != "<genexpr>" and inspect.getgeneratorstate(value) == inspect.GEN_CREATED


def _delay(policy: Policy, attempt: int, uniform: float | None) -> tuple[int, str | None]:
    """Return the microseconds until the next attempt, and what was wrong with the task's backoff, if anything."""
    jitter = random.random() if uniform is None else uniform
    try:
        return policy.delay_us(attempt, jitter), None
    except BaseException as broken:
        if isinstance(broken, KeyboardInterrupt):
            raise  # Ctrl-C is meant for the whole process
        return backoff.delay_us(attempt, jitter), f"the default, because the task's own failed: {headline(broken)}"


def _encode_result(value: object) -> bytes:
    try:
        return codec.encode(value, name="result", bytes_max=RESULT_BYTES_MAX)
    except ValidationError as refused:
        return codec.encode({RESULT_NOT_STORED: storable(str(refused))})


def _microseconds(seconds: float) -> int:
    return max(0, round(seconds * backoff.SECOND_US))


def _check_seconds(outcome: RetryAfter | Snooze) -> None:
    seconds = outcome.seconds
    if not _is_number(seconds) or seconds > DELAY_SECONDS_MAX:
        raise ValidationError(
            f"{type(outcome).__name__}({seconds!r}): seconds must be a finite number, at most {DELAY_SECONDS_MAX}"
        )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
