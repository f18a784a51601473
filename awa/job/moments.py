"""Points in time and durations as callers give them: a datetime, text, or an object that writes one."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Final

import msgspec

from awa.errors import ValidationError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
_YEARS: Final = range(2, 9999)
"""A time zone away from these lie years that datetime does not know."""


def moment(value: Any, name: str = "run_at") -> datetime:
    """Return a time in UTC, from a datetime, text or an object that writes one. Raises ValidationError, by `name`."""
    try:
        found = _as_datetime(value)
        # Without a zone it means UTC; what the machine's zone is must not matter.
        found = found.replace(tzinfo=timezone.utc) if found.tzinfo is None else found.astimezone(timezone.utc)
    except (TypeError, ValueError, OverflowError) as problem:
        raise ValidationError(
            f"{name} is {value!r}, which is no point in time; pass a datetime (without a time zone it means UTC) or "
            "RFC 3339 text such as '2030-01-31T12:00:00Z'"
        ) from problem
    if found.year not in _YEARS:
        raise ValidationError(f"{name} is {value!r}; it must lie in the years {_YEARS[0]} to {_YEARS[-1]}")
    return found


def from_microseconds(microseconds: int) -> datetime:
    """Return a time in UTC from microseconds since the epoch, as statements return times that any library can read."""
    return _EPOCH + timedelta(microseconds=microseconds)


def _as_datetime(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    text = value.isoformat() if hasattr(value, "isoformat") else value
    if not isinstance(text, str):
        raise TypeError(text)
    return msgspec.convert(text, datetime)


def seconds_of(timeout_ms: int | None) -> float | None:
    """Return a time limit in seconds."""
    return None if timeout_ms is None else timeout_ms / 1000
