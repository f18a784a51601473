"""Rules for running and retrying the jobs of a task: the options of `client.task` beyond the arguments' type."""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeGuard

from awa.backoff import DEFAULT, DELAY_SECONDS_MAX, PRESETS, SECOND_US, Preset
from awa.errors import ValidationError
from awa.job.validate import MAX_ATTEMPTS, check_seconds, check_timeout, check_whole, is_seconds
from awa.task.exceptions import lineage

DEFAULT_MAX_ATTEMPTS: Final = 25
GRACE_S: Final = 10.0
GRACE_S_MAX: Final = 86_400.0
MEMORY_LIMIT_MB: Final = range(1, 2**24 + 1)

Backoff: TypeAlias = Callable[[int], float] | Preset


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules for running and retrying the jobs of one task."""

    timeout_s: float | None = None
    """Seconds an attempt may take before `JobTimeout` is raised in its handler. None: its queue's deadline; 0: none."""
    grace_s: float = GRACE_S
    """Seconds from then on, or from a cancellation, until the worker is killed."""
    max_attempts: int | None = None
    """Of jobs inserted without a number of their own. None: 25."""
    backoff: Backoff = field(default=DEFAULT, hash=False)  # a policy is a key, and the user's callable need not be one
    """The delay after a failed attempt."""
    retry_on: tuple[type[BaseException], ...] | None = None
    """Only these are retried. None: everything is."""
    give_up_on: tuple[type[BaseException], ...] = ()
    """These fail a job at once, whatever `retry_on` says."""
    raise_on_cancel: bool = False
    """True if `JobCancelled` is raised in the handler of a job that is cancelled."""
    memory_limit_mb: int | None = None
    """MiB that an attempt may take beyond what its worker had before. None: no limit."""

    @property
    def attempts(self) -> int:
        """Most attempts of a job that was inserted without a number of its own."""
        return self.max_attempts or DEFAULT_MAX_ATTEMPTS

    def gives_up_on(self, exc: BaseException) -> bool:
        """Return whether no retry follows an attempt that raised `exc`. Classes match as in an `except` clause."""
        classes = lineage(exc)
        if any(each in classes for each in self.give_up_on):
            return True
        return self.retry_on is not None and not any(each in classes for each in self.retry_on)

    def delay_us(self, attempt: int, uniform: float) -> int:
        """Return the microseconds to wait after `attempt` (from 1) failed; `uniform`, from [0, 1), is the jitter.

        Raises ValidationError when the task's own function returns no such number, or whatever that function raises.
        """
        if isinstance(self.backoff, Preset):
            return self.backoff.delay_us(attempt, uniform)
        seconds = self.backoff(attempt)
        if not is_seconds(seconds, DELAY_SECONDS_MAX):
            raise ValidationError(
                f"it returned {reprlib.repr(seconds)} for attempt {attempt}, which is no number of seconds from 0 to "
                f"{DELAY_SECONDS_MAX}"
            )
        return round(float(seconds) * SECOND_US)


def check_policy(
    *,
    timeout: Any = None,
    grace: Any = GRACE_S,
    max_attempts: Any = None,
    backoff: Any = None,
    retry_on: Any = None,
    give_up_on: Any = None,
    raise_on_cancel: Any = False,
    memory_limit_mb: Any = None,
) -> Policy:
    """Return the policy of a task from the options of `client.task`. Raises ValidationError that names the option."""
    timeout_ms = check_timeout(timeout)
    if not isinstance(raise_on_cancel, bool):
        raise ValidationError(f"raise_on_cancel is {raise_on_cancel!r}; it must be True or False")
    return Policy(
        timeout_s=None if timeout_ms is None else timeout_ms / 1000,
        grace_s=check_seconds("grace", grace, GRACE_S_MAX),
        max_attempts=None if max_attempts is None else check_whole("max_attempts", max_attempts, MAX_ATTEMPTS),
        backoff=_checked_backoff(backoff),
        retry_on=None if retry_on is None else _exceptions("retry_on", retry_on),
        give_up_on=() if give_up_on is None else _exceptions("give_up_on", give_up_on),
        raise_on_cancel=raise_on_cancel,
        memory_limit_mb=(
            None if memory_limit_mb is None else check_whole("memory_limit_mb", memory_limit_mb, MEMORY_LIMIT_MB)
        ),
    )


def _checked_backoff(backoff: Any) -> Backoff:
    if backoff is None:
        return DEFAULT
    if isinstance(backoff, str) and backoff in PRESETS:
        return PRESETS[backoff]
    if _is_backoff(backoff):
        return backoff
    raise ValidationError(
        f"backoff is {backoff!r}; it must be a preset (awa.backoff.exponential(…), linear(…), constant(…) or such a "
        "name as text) or a function of one argument, the attempt that failed, that returns seconds"
    )


def _is_backoff(value: Any) -> TypeGuard[Backoff]:
    return isinstance(value, Preset) or (callable(value) and _takes_attempt(value))


def _takes_attempt(function: Callable[..., Any]) -> bool:
    if inspect.iscoroutinefunction(function):
        return False
    try:
        inspect.signature(function).bind(1)
    except TypeError:
        return False
    except ValueError:  # written in C, and silent about its parameters: the first failed attempt will tell
        return True
    return True


def _exceptions(name: str, given: Any) -> tuple[type[BaseException], ...]:
    """Return exception classes, of which one alone may stand without a list."""
    classes = tuple(given) if isinstance(given, Iterable) and not isinstance(given, (str, type)) else (given,)
    for each in classes:
        if not (isinstance(each, type) and issubclass(each, BaseException)):
            raise ValidationError(f"{name} has {each!r} in it; it must be a list of exception classes")
    return classes
