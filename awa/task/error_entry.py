"""The record of a failed attempt: one entry of the job's `errors`, small and fit for jsonb whatever was raised."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from awa.job import codec
from awa.task.exceptions import TYPE_NAME_MAX, Related, last_lines, message, name, related

ERROR_MESSAGE_BYTES_MAX: Final = 12 * 1024
ERROR_TRACEBACK_BYTES_MAX: Final = 4 * 1024
ERROR_RELATED_BYTES_MAX: Final = 4 * 1024
"""For all exceptions that led to it."""
ERROR_BYTES_MAX: Final = 21 * 1024
"""All three, and the notes that say what was cut."""
ERROR_HEADLINE_BYTES_MAX: Final = 1024
TRACEBACK_LINES_MAX: Final = 10
RELATED_LINES_MAX: Final = 2
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def error_entry(
    text: str, type_name: str, attempt: int, *, terminal: bool = False, now_us: int | None = None, **details: Any
) -> bytes:
    """Return one entry of a job's `errors` as JSON: `error`, `type`, `attempt`, `at`, and `terminal` if it was.

    `details` is what else is known; None is left out.
    """
    at = _EPOCH + timedelta(microseconds=time.time_ns() // 1000 if now_us is None else now_us)
    entry: dict[str, Any] = {
        "error": _cut(text, ERROR_BYTES_MAX),
        "type": storable(type_name[:TYPE_NAME_MAX]),
        "attempt": attempt,
        "at": at,
    }
    if terminal:
        entry["terminal"] = True
    entry |= {key: value for key, value in details.items() if value is not None}
    return codec.encode(entry)


def describe(exc: BaseException) -> str:
    """Return `QualName: message` with its notes, the last ten lines of the traceback, and in short what led to it.

    Each of the three is within its limit and fit for jsonb.
    """
    parts = [_cut(f"{name(exc)}: {message(exc)}", ERROR_MESSAGE_BYTES_MAX)]
    if lines := last_lines(exc, TRACEBACK_LINES_MAX):
        parts.append(_cut("\n".join(lines), ERROR_TRACEBACK_BYTES_MAX))
    if others := [_in_short(other) for other in related(exc)]:
        parts.append(_cut("\n".join(others), ERROR_RELATED_BYTES_MAX))
    return "\n".join(parts)


def headline(exc: BaseException) -> str:
    """Return `QualName: message`, short and fit for jsonb."""
    return _cut(f"{name(exc)}: {message(exc)}", ERROR_HEADLINE_BYTES_MAX)


def storable(text: str) -> str:
    """Return `text` with what jsonb refuses written out: NUL and lone surrogates become visible escapes."""
    return text.replace("\0", "\\x00").encode(errors="backslashreplace").decode()


def _in_short(other: Related) -> str:
    return "\n".join([f"{other.how} {headline(other.exc)}", *last_lines(other.exc, RELATED_LINES_MAX)])


def _cut(text: str, bytes_max: int) -> str:
    raw = storable(text).encode()
    if len(raw) <= bytes_max:
        return raw.decode()
    return f"{raw[:bytes_max].decode(errors='ignore')}… [cut: {len(raw)} bytes, the first {bytes_max} are kept]"
