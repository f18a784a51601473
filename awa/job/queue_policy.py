"""The policy of a queue: time limit, dead letters, ageing, retention."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from awa.errors import ValidationError
from awa.job.validate import TIMEOUT_MS_MAX, check_whole

DEADLINE_S: Final = range(TIMEOUT_MS_MAX // 1000 + 1)
AGEING_S: Final = range(366 * 86_400 + 1)
RETENTION_H_MAX: Final = 87_600
"""Ten years."""
DEFAULT: Final[Literal["default"]] = "default"
"""Given in place of a value: back to its value for a queue that has not been configured."""


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """The policy of a queue. The defaults hold for a queue that has not been configured."""

    queue: str
    deadline: int = 300
    """Seconds an attempt may take, unless its task or the job says otherwise; 0: as long as it likes."""
    dlq: bool = False
    """True if jobs that fail go to the dead-letter queue."""
    ageing: int = 60
    """Seconds after which a job is as urgent as one of the next priority that comes in then; 0: never."""
    retention_completed_h: float | None = None
    """Hours that completed and cancelled jobs stay readable. None: as the supervisor's setting says."""
    retention_failed_h: float | None = None
    """Hours that failed jobs stay readable. None: as the supervisor's setting says."""
    retention_dlq_h: float | None = None
    """Hours that dead letters are kept. None: as the supervisor's setting says."""
    serial: bool = False
    """True if of the jobs with one ordering key never two run at a time."""
    block_on_retry: bool = False
    """True if jobs behind one that waits for another try, with the same ordering key, wait until it has ended."""


_DEFAULTS: Final = {field.name: field.default for field in fields(QueuePolicy) if field.name != "queue"}


def check_changes(**changes: Any) -> dict[str, Any]:
    """Return the changes to a queue's policy that were given (not None), "default" turned into the default.

    Raises ValidationError that names the value and what is allowed.
    """
    return {name: _checked(name, value) for name, value in changes.items() if value is not None}


def with_defaults(changes: dict[str, Any]) -> dict[str, Any]:
    """Return a value for everything a policy has."""
    return {**_DEFAULTS, **changes}


def _checked(name: str, value: Any) -> Any:
    if isinstance(value, str) and value == DEFAULT:
        return _DEFAULTS[name]
    match name:
        case "deadline":
            return check_whole(name, value, DEADLINE_S)
        case "ageing":
            return check_whole(name, value, AGEING_S)
        case "dlq" | "serial" | "block_on_retry":
            return _checked_flag(name, value)
        case _:
            return _checked_hours(name, value)


def _checked_flag(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise ValidationError(f"{name} is {value!r}; it must be True or False")


def _checked_hours(name: str, value: Any) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= RETENTION_H_MAX:
        return float(value)
    raise ValidationError(f"{name} is {value!r}; it must be a number of hours from 0 to {RETENTION_H_MAX}")
