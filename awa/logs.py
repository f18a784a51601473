"""Log lines from telemetry events: one line an event, to standard error, as text or as JSON."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Literal

import msgspec

from awa import telemetry

Format = Literal["text", "json"]

logger = logging.getLogger("awa")

LEVELS: Final = {
    telemetry.RUN_FINISHED: logging.DEBUG,
    telemetry.RUN_TIMED_OUT: logging.WARNING,
    telemetry.RUN_LEFT_OPEN: logging.WARNING,
    telemetry.SETTLE_JOBS: logging.DEBUG,
    telemetry.SETTLE_REFUSED: logging.WARNING,
    telemetry.SETTLE_WRITTEN_OFF: logging.ERROR,
    telemetry.SEAL_BATCHES: logging.DEBUG,
    telemetry.SEAL_RESTORED: logging.WARNING,
    telemetry.PROMOTE_JOBS: logging.DEBUG,
    telemetry.RESCUE_JOBS: logging.WARNING,
    telemetry.RESCUE_NODE: logging.WARNING,
    telemetry.RESCUE_KILLER_KIND: logging.ERROR,
    telemetry.RETIRE_REFUSED: logging.ERROR,
    telemetry.RETIRE_POSTPONED: logging.DEBUG,
    telemetry.RETIRE_OVERFLOW: logging.WARNING,
    telemetry.DLQ_MOVED: logging.WARNING,
    telemetry.LEAD_UNKNOWN_KIND: logging.WARNING,
    telemetry.DATABASE_LOST: logging.WARNING,
    telemetry.DATABASE_LOCKED: logging.WARNING,
    telemetry.WORKER_START_FAILED: logging.ERROR,
    telemetry.WORKER_KILLED: logging.WARNING,
    telemetry.SUPERVISOR_WARNING: logging.WARNING,
    telemetry.SUPERVISOR_FENCED: logging.WARNING,
    telemetry.SUPERVISOR_SERVICE_FAILED: logging.ERROR,
    telemetry.SUPERVISOR_RELOAD_FAILED: logging.ERROR,
}
"""Events that are not logged at INFO. A job that failed, or a worker that died, is raised to WARNING all the same."""

_BELOW: Final = "traceback"
"""The field that text shows on lines of its own."""

_unsubscribe: Callable[[], None] = lambda: None  # noqa: E731 - nothing to end yet


def setup(format: Format, level: str, process: str) -> None:
    """Log this process's events from now on; `process` is its name in every line ("supervisor", "worker 2")."""
    global _unsubscribe
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json(process) if format == "json" else _Text(process))
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(level.upper())
    # The driver's own lines: what it finds worth a warning (a connection that broke) we have said already.
    driver = logging.getLogger("psycopg")
    driver.handlers[:] = [handler]
    driver.propagate = False
    driver.setLevel(logging.ERROR)
    _unsubscribe()  # a second setup, in the same process or after a fork, takes the place of the first
    _unsubscribe = telemetry.subscribe(_log)


def _log(event: str, fields: dict[str, Any]) -> None:
    level = _level(event, fields)
    if logger.isEnabledFor(level):
        known = {name: value for name, value in fields.items() if value is not None}
        logger.log(level, event, extra={"fields": known})


def _level(event: str, fields: dict[str, Any]) -> int:
    if event == telemetry.RUN_FINISHED and fields["error"] is not None:
        return logging.INFO if fields["void"] else logging.WARNING
    if event == telemetry.WORKER_EXITED and not fields["expected"]:
        return logging.WARNING
    if event == telemetry.SETTLE_REFUSED and fields["expected"]:
        return logging.INFO
    return LEVELS.get(event, logging.INFO)


class _Text(logging.Formatter):
    """`2026-11-22 10:00:00.123 INFO  worker 2[4711] rescue.jobs worker=12 returned=3`"""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        fields = dict(getattr(record, "fields", {}))
        below = str(fields.pop(_BELOW, "")) or (self.formatException(record.exc_info) if record.exc_info else "")
        pairs = "".join(f" {name}={_shown(value)}" for name, value in fields.items())
        head = f"{stamp}.{int(record.msecs):03d} {record.levelname:<7} {self._process}[{os.getpid()}]"
        return f"{head} {record.getMessage()}{pairs}" + (f"\n{below.rstrip()}" if below else "")


class _Json(logging.Formatter):
    """One JSON object a line: time, level, process, pid, event, and the event's fields."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "process": self._process,
            "process_id": os.getpid(),
            "event": record.getMessage(),
            **{name: _named(value) for name, value in getattr(record, "fields", {}).items()},
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


def _shown(value: Any) -> str:
    text = str(value)
    return repr(text) if not text or any(sign.isspace() for sign in text) else text


def _named(value: Any) -> Any:
    """Return the name of a state, not its number."""
    return str(value) if isinstance(value, Enum) else value
