"""Log lines, to standard error, as text or as JSON: one an event of telemetry, one a record of the application's own
that no handler of its own takes."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, Literal

import msgspec

from awa.telemetry import current_job, events
from awa.text.printable import printable, printable_json, printable_line

Format = Literal["text", "json"]

logger = logging.getLogger("awa")

LEVELS: Final = {
    events.RUN_FINISHED: logging.DEBUG,
    events.RUN_TIMED_OUT: logging.WARNING,
    events.RUN_TRANSACTION_LEFT_OPEN: logging.WARNING,
    events.SETTLE_JOBS: logging.DEBUG,
    events.SETTLE_REFUSED: logging.WARNING,
    events.SETTLE_ROW_MISSING: logging.ERROR,
    events.SETTLE_STAND_IN: logging.ERROR,
    events.SEAL_BATCHES: logging.DEBUG,
    events.SEAL_RESTORED: logging.WARNING,
    events.SEAL_RESEALED: logging.INFO,
    events.SEAL_IDS_BEHIND: logging.ERROR,
    events.SEAL_STOPPED: logging.ERROR,
    events.CLAIM_LOCKED: logging.WARNING,
    events.PROMOTE_JOBS: logging.DEBUG,
    events.RESCUE_JOBS: logging.WARNING,
    events.RESCUE_NODE: logging.WARNING,
    events.RESCUE_CRASH_LOOP: logging.ERROR,
    events.RETIRE_REFUSED: logging.ERROR,
    events.RETIRE_POSTPONED: logging.DEBUG,
    events.RETIRE_OVERFLOW: logging.WARNING,
    events.DLQ_MOVED: logging.WARNING,
    events.LEAD_UNKNOWN_KIND: logging.WARNING,
    events.DATABASE_LOST: logging.WARNING,
    events.DATABASE_LOCKED: logging.WARNING,
    events.WORKER_START_FAILED: logging.ERROR,
    events.WORKER_KILLED: logging.WARNING,
    events.WORKER_DAMAGED: logging.ERROR,
    events.SUPERVISOR_WARNING: logging.WARNING,
    events.SUPERVISOR_GIVING_UP: logging.ERROR,
    events.SUPERVISOR_DECLARED_DEAD: logging.WARNING,
    events.SUPERVISOR_SERVICE_FAILED: logging.ERROR,
    events.SUPERVISOR_RELOAD_FAILED: logging.ERROR,
}
"""Events that are not logged at INFO. A job that failed, or a worker that died, is raised to WARNING all the same."""

_BELOW: Final = "traceback"
"""The field that text shows on lines of its own."""

_unsubscribe: Callable[[], None] = lambda: None  # noqa: E731 - nothing to end yet


def setup(format: Format, level: str, process: str) -> None:
    """Log this process's events from now on; `process` is its name in every line ("supervisor", "worker 2")."""
    global _unsubscribe
    handler = _handler(format, process)
    logger.handlers[:] = [handler]
    logger.propagate = False
    logger.setLevel(level.upper())
    # The driver's own lines: what it finds worth a warning (a connection that broke) we have said already.
    driver = logging.getLogger("psycopg")
    driver.handlers[:] = [handler]
    driver.propagate = False
    driver.setLevel(logging.ERROR)
    _unsubscribe()  # a second setup, in the same process or after a fork, takes the place of the first
    _unsubscribe = events.subscribe(_log)


def take_unhandled(format: Format, level: str, process: str) -> None:
    """Print the application's records that no handler of its own takes, with time, level, process and job.

    Python's handler of last resort does that: it is asked only where a logger and its parents have no handler, and
    `logging.basicConfig()` still works afterwards. So nothing that the application sets up is overridden.
    """
    handler = _handler(format, process)
    handler.setLevel(level.upper())
    logging.lastResort = handler


def keep_info(level: str) -> None:
    """Let the application's loggers make records from INFO on, or from `level` if that is more severe; but only where
    the application has left the root logger as Python makes it. Call it when the application has set up its own."""
    root = logging.getLogger()
    if not root.handlers and root.level == logging.WARNING:
        root.setLevel(max(logging.INFO, logging.getLevelName(level.upper())))


def _handler(format: Format, process: str) -> logging.StreamHandler[Any]:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json(process) if format == "json" else _Text(process))
    return handler


def _log(event: str, fields: dict[str, Any]) -> None:
    level = _level(event, fields)
    if logger.isEnabledFor(level):
        known = {name: value for name, value in fields.items() if value is not None}
        logger.log(level, event, extra={"fields": known})


def _level(event: str, fields: dict[str, Any]) -> int:
    if event == events.RUN_FINISHED and fields["error"] is not None:
        return logging.INFO if fields["void"] else logging.WARNING
    if event == events.WORKER_EXITED and not fields["expected"]:
        return logging.WARNING
    if event == events.SETTLE_REFUSED and fields["expected"]:
        return logging.INFO
    return LEVELS.get(event, logging.INFO)


class _Text(logging.Formatter):
    """`2026-11-22 10:00:00.123 INFO  worker 2[4711] rescue.jobs worker=12 returned=3`

    A record of the application's bears its logger's name and its job:
    `2026-11-22 10:00:00.123 INFO  worker 2[4711] shop.tasks: 3 pages rendered job=12 attempt=1 kind=render queue=pdf`
    """

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
        said, *more = record.getMessage().split("\n")
        fields = _fields(record)
        below = [*more, *str(fields.pop(_BELOW, "")).split("\n")]
        if record.exc_info:
            below += self.formatException(record.exc_info).split("\n")
        if record.stack_info:
            below += record.stack_info.split("\n")
        who = "" if _is_event(record) else f"{record.name}: "
        pairs = "".join(f" {name}={_shown(value)}" for name, value in fields.items())
        head = f"{stamp}.{int(record.msecs):03d} {record.levelname:<7} {self._process}[{os.getpid()}]"
        # Loggers, levels and fields may have any name, and lines below are indented: text of a job cannot look like a
        # line of the log.
        first = printable_line(f"{head} {who}{said}{pairs}")
        return "\n".join([first, *(printable(f"    {line}") for line in below if line.strip())])


class _Json(logging.Formatter):
    """One JSON object a line: time, level, process, pid, event, and the event's fields; instead of the event, logger,
    message and job for a record of the application's."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        what = {"event": record.getMessage()}
        if not _is_event(record):
            what = {"logger": record.name, "message": record.getMessage()}
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "process": self._process,
            "process_id": os.getpid(),
            **what,
        }
        # A field of the application's that is called like one of these stands behind them under another name: what
        # reads the lines must find in each what it expects there.
        line |= {f"extra_{name}" if name in line else name: _named(value) for name, value in _fields(record).items()}
        if record.exc_info:
            line[_BELOW] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return printable_json(_encoded(line))


_PLAIN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "fields"}
"""Attributes that every record has; whatever else one has was given as `extra`."""


def _is_event(record: logging.LogRecord) -> bool:
    """Return whether a record is Awa's own, whose message is the name of an event."""
    return record.name == logger.name or record.name.startswith(f"{logger.name}.")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return what stands behind a line: the event's fields, or of the application's record `extra` and job."""
    if _is_event(record):
        return dict(getattr(record, "fields", {}))
    return {name: value for name, value in vars(record).items() if name not in _PLAIN} | current_job.fields()


def _encoded(line: dict[str, Any]) -> str:
    try:
        return msgspec.json.encode(line, enc_hook=_as_text).decode()
    except Exception:  # noqa: BLE001 - whatever it holds (half a character, a dict with itself in it): as text, then
        return msgspec.json.encode(
            {printable(str(name)): printable(_as_text(value)) for name, value in line.items()}
        ).decode()


def _as_text(value: Any) -> str:
    """Return a value as text; of one whose `__str__` fails, its type."""
    try:
        return "".join([str(value)])  # a copy, unless it is plain: a subclass of str may have methods that raise
    except Exception:  # noqa: BLE001 - an application's; the rest of the line is worth keeping
        return f"<{type(value).__qualname__}>"


def _shown(value: Any) -> str:
    text = _as_text(value)
    return printable_line(repr(text) if not text or any(sign.isspace() for sign in text) else text)


def _named(value: Any) -> Any:
    """Return the name of a state, not its number."""
    return str(value) if isinstance(value, Enum) else value
