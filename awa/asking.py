"""What a caller may ask about jobs: numbers and names are checked here, before the database sees them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from awa.errors import JobNotFound, ValidationError
from awa.task import check_name

LIST_LIMIT: Final = range(1, 1001)
_IDS: Final = range(-(2**63), 2**63)


def check_id(job_id: Any) -> None:
    """Raise ValidationError for what is no whole number, JobNotFound for one that no job can have."""
    if not can_be_id(job_id):
        raise JobNotFound(job_id)


def can_be_id(job_id: Any) -> bool:
    """Whether a job can have this number. Raises ValidationError for what is no whole number."""
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
