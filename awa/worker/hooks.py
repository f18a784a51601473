"""Runs what an application wants done around its handlers, and in each worker process before its first job."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from awa.processes.board.slot import Slot
from awa.processes.exit_codes import ExitCode
from awa.task.registry import Around, Registry, name_of
from awa.telemetry import events


def within(makes: Sequence[Around], job: Any, call: Callable[[], Any]) -> Any:
    """Call `call` inside the context managers made for `job`, the first outermost; return what it returns.

    What it raises is raised here, unless one of them raises something else: a job that failed does not become one
    that is done because code around it has swallowed the error.
    """
    if not makes:
        return call()
    errors: list[BaseException] = []
    try:
        with makes[0](job):
            try:
                value = within(makes[1:], job, call)
            except BaseException as error:
                errors.append(error)
                raise
        if errors:
            raise errors[0]
        return value
    finally:
        errors.clear()  # an error that held this frame would hold all that its traceback does until a collection


class StartFailed(Exception):
    """A function given to `client.on_worker_start` has raised; it has been said."""


def start(registry: Registry, slot: Slot) -> None:
    """Call what is to be called. Raises StartFailed."""
    pid = os.getpid()
    for function in registry.starts:
        slot.describe(name_of(function))
        try:
            function()
        except BaseException as error:
            if os.getpid() == pid:
                _say(slot, name_of(function), error)
            raise StartFailed from error  # sys.exit(), too: the reason of the worker's end would be lost
        finally:
            if os.getpid() != pid:
                os._exit(ExitCode.CRASHED)  # a process forked by it has come back here: it is no second worker
    slot.describe("")


def _say(slot: Slot, hook: str, error: BaseException) -> None:
    trace = error.__traceback__ and error.__traceback__.tb_next  # without our own frame
    events.emit(
        events.WORKER_START_FAILED,
        slot=slot.index,
        pid=slot.pid,
        hook=hook,
        error=f"{type(error).__name__}: {error}",
        traceback="".join(traceback.format_exception(type(error), error, trace)),
    )
