"""Log lines from telemetry events: one line an event, to standard error, as text or as JSON."""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import Any, Final, Literal

import msgspec

from awa import telemetry
from awa.job import JobState

Format = Literal["text", "json"]

logger = logging.getLogger("awa")

LEVELS: Final = {
    telemetry.RUN_FINISHED: logging.DEBUG,
    telemetry.SETTLE_JOBS: logging.DEBUG,
    telemetry.SETTLE_REFUSED: logging.WARNING,
    telemetry.SEAL_BATCHES: logging.DEBUG,
    telemetry.SEAL_RESTORED: logging.WARNING,
    telemetry.PROMOTE_JOBS: logging.DEBUG,
    telemetry.RESCUE_JOBS: logging.WARNING,
    telemetry.RESCUE_NODE: logging.WARNING,
    telemetry.RETIRE_REFUSED: logging.ERROR,
    telemetry.RETIRE_POSTPONED: logging.DEBUG,
    telemetry.LEAD_UNKNOWN_KIND: logging.WARNING,
    telemetry.DATABASE_LOST: logging.WARNING,
    telemetry.SUPERVISOR_WARNING: logging.WARNING,
    telemetry.SUPERVISOR_FENCED: logging.WARNING,
    telemetry.SUPERVISOR_SERVICE_FAILED: logging.ERROR,
    telemetry.SUPERVISOR_RELOAD_FAILED: logging.ERROR,
}
"""Events that are not logged at INFO. A job that failed is raised to WARNING whatever stands here."""

_TROUBLED: Final = frozenset({JobState.Retryable, JobState.Failed})


def setup(format: Format, level: str, process: str) -> None:
    """Log this process's events from now on; `process` is its name in every line ("supervisor", "worker 2")."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json(process) if format == "json" else _Text(process))
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(level.upper())
    telemetry.subscribe(_log)


def _log(event: str, fields: dict[str, Any]) -> None:
    level = LEVELS.get(event, logging.INFO)
    if event == telemetry.RUN_FINISHED and fields["state"] in _TROUBLED:
        level = logging.WARNING
    if logger.isEnabledFor(level):
        logger.log(level, event, extra={"fields": fields})


class _Text(logging.Formatter):
    """`2026-11-22 10:00:00.123 INFO  worker 2[4711] rescue.jobs worker=12 returned=3`"""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        pairs = "".join(f" {name}={_shown(value)}" for name, value in getattr(record, "fields", {}).items())
        head = f"{stamp}.{int(record.msecs):03d} {record.levelname:<7} {self._process}[{os.getpid()}]"
        trace = f"\n{self.formatException(record.exc_info)}" if record.exc_info else ""
        return f"{head} {record.getMessage()}{pairs}{trace}"


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
            "pid": os.getpid(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


def _shown(value: Any) -> str:
    text = str(value)
    return repr(text) if " " in text or not text else text
