"""What is kept of a failed attempt: one entry of the job's `errors`, small and fit for jsonb whatever was raised."""

from __future__ import annotations

import time
import traceback
from datetime import datetime, timedelta, timezone
from types import TracebackType
from typing import Any, Final

from awa import codec

ERROR_MESSAGE_BYTES_MAX: Final = 12 * 1024
ERROR_TRACEBACK_BYTES_MAX: Final = 4 * 1024
ERROR_BYTES_MAX: Final = 17 * 1024
"""Both, and the notes that say what was cut."""
TRACEBACK_LINES_MAX: Final = 10
TYPE_NAME_MAX: Final = 200
"""Characters of an exception's name: a class made at run time may have any."""
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def error_entry(text: str, type_name: str, attempt: int, *, terminal: bool = False, now_us: int | None = None) -> bytes:
    """Return one entry of a job's `errors` as JSON: `error`, `type`, `attempt`, `at`, and `terminal` if it was."""
    at = _EPOCH + timedelta(microseconds=time.time_ns() // 1000 if now_us is None else now_us)
    entry: dict[str, Any] = {
        "error": _cut(text, ERROR_BYTES_MAX),
        "type": storable(type_name[:TYPE_NAME_MAX]),
        "attempt": attempt,
        "at": at,
    }
    if terminal:
        entry["terminal"] = True
    return codec.encode(entry)


def describe(exc: BaseException) -> str:
    """Return `QualName: message` and the last ten lines of the traceback, each within its limit and fit for jsonb."""
    head = f"{_name(exc)}: {_message(exc)}"
    trace = "".join(_last_frames(exc.__traceback__))
    return f"{_cut(head, ERROR_MESSAGE_BYTES_MAX)}\n{_cut(trace, ERROR_TRACEBACK_BYTES_MAX)}".rstrip("\n")


def storable(text: str) -> str:
    """Return `text` with what jsonb refuses written out: NUL and lone surrogates become visible escapes."""
    return text.replace("\0", "\\x00").encode(errors="backslashreplace").decode()


def _message(exc: BaseException) -> str:
    try:
        return str(exc)
    except BaseException as broken:  # noqa: BLE001 - the user's __str__ may raise anything; say so in its place
        return f"<no message: __str__ raised {_name(broken)}>"


def _name(exc: BaseException) -> str:
    return type(exc).__qualname__[:TYPE_NAME_MAX]


def _last_frames(trace: TracebackType | None) -> list[str]:
    """Format the innermost frames, two lines each (place and source)."""
    shown = TRACEBACK_LINES_MAX // 2
    total = sum(1 for _ in traceback.walk_tb(trace))
    note = [f"  [{total - shown} frames truncated]\n"] if total > shown else []
    frames = traceback.extract_tb(trace, limit=-shown)
    return note + [f"  {line}\n" for frame in frames for line in _frame_lines(frame)]


def _frame_lines(frame: traceback.FrameSummary) -> list[str]:
    place = f'File "{frame.filename}", line {frame.lineno}, in {frame.name}'
    return [place, f"  {frame.line}"] if frame.line else [place]


def _cut(text: str, bytes_max: int) -> str:
    raw = storable(text).encode()
    if len(raw) <= bytes_max:
        return raw.decode()
    return f"{raw[:bytes_max].decode(errors='ignore')}… [cut: {len(raw)} bytes, the first {bytes_max} are kept]"
