"""Checks of numbers, names and options that callers pass: a wrong one is refused before the database sees it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

from awa.errors import JobNotFound, ValidationError

LIST_LIMIT: Final = range(1, 1001)
_IDS: Final = range(-(2**63), 2**63)

MAX_ATTEMPTS: Final = range(1, 1001)
TIMEOUT_MS_MAX: Final = 2**31 - 1
"""Some 24 days: what the column of a job's own time limit holds."""
NAME_LENGTH_MAX = 200


def check_id(job_id: Any) -> None:
    """Raise ValidationError for what is no whole number, JobNotFound for one that no job can have."""
    if not can_be_id(job_id):
        raise JobNotFound(job_id)


def can_be_id(job_id: Any) -> bool:
    """Return whether a job can have this number. Raises ValidationError for what is no whole number."""
    if not _is_whole(job_id):
        raise ValidationError(f"job id {job_id!r} is not a whole number; a job's is job.id, as insert returns it")
    return job_id in _IDS


def list_limit(limit: Any) -> int:
    """Return how many entries a list may have: 1000 where more are asked for. Raises ValidationError."""
    if not _is_whole(limit) or limit < LIST_LIMIT[0]:
        raise ValidationError(f"limit is {limit!r}; it must be a whole number from {LIST_LIMIT[0]} on")
    return min(int(limit), LIST_LIMIT[-1])


def check_work_limit(limit: Any) -> None:
    """Raise ValidationError unless `limit` can end the work, or is None."""
    if limit is not None and (not _is_whole(limit) or limit < 1):
        raise ValidationError(f"limit is {limit!r}; it must be a whole number from 1, or None for no limit")


def queue_names(queues: Any) -> list[str] | None:
    """Return the queues to work on; None for all. Raises ValidationError for what is no list of names."""
    if queues is None:
        return None
    if isinstance(queues, (str, bytes)) or not isinstance(queues, Iterable):
        raise ValidationError(f"queues is {queues!r}; it must be a list of names, such as ['default']")
    names = list(queues)
    for name in names:
        check_name("queue", name)
    return names


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def check_timeout(timeout: Any) -> int | None:
    """Return a time limit in milliseconds, rounded up (0 stays none at all). Raises ValidationError."""
    return None if timeout is None else math.ceil(check_seconds("timeout", timeout, TIMEOUT_MS_MAX / 1000) * 1000)


def check_whole(name: str, value: Any, allowed: range) -> int:
    """Return a whole number from `allowed`. Raises ValidationError."""
    if isinstance(value, int) and not isinstance(value, bool) and value in allowed:
        return int(value)
    raise ValidationError(f"{name} is {value!r}; it must be a whole number from {allowed[0]} to {allowed[-1]}")


def check_seconds(name: str, value: Any, most: float) -> float:
    if is_seconds(value, most):
        return float(value)
    raise ValidationError(f"{name} is {value!r}; it must be a number of seconds from 0 to {most:.10g}")


def is_seconds(value: Any, most: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= most  # NaN is not


def check_name(what: str, name: object) -> None:
    """Raise ValidationError unless `name` can name a queue or a kind: 1 to 200 printable characters."""
    if not isinstance(name, str) or not 0 < len(name) <= NAME_LENGTH_MAX or not name.isprintable():
        shown = (
            repr(name) if not isinstance(name, str) or len(name) <= 60 else f"{name[:60]!r}… ({len(name)} characters)"
        )
        raise ValidationError(
            f"{what} {shown} is not a name: it must be text of 1 to {NAME_LENGTH_MAX} printable characters"
        )


def check_wake(value: Any) -> bool | None:
    """Return the option `wake`; None: as the client says. Raises ValidationError."""
    if value is None or isinstance(value, bool):
        return value
    raise ValidationError(f"wake is {value!r}; it must be True, False or None")
