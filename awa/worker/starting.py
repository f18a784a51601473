"""What an application wants done in each worker process before its first job.

The slot shows the function that runs: the supervisor ends a worker in which one of them hangs, and names it.
"""

from __future__ import annotations

import os
import traceback

from awa import telemetry
from awa.processes.exitcodes import ExitCode
from awa.processes.slot import Slot
from awa.task import Registry, name_of


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
            raise StartFailed from error  # sys.exit(), too: nobody would know why the worker has ended
        finally:
            if os.getpid() != pid:
                os._exit(ExitCode.CRASHED)  # a process forked by it has come back here: it is no second worker
    slot.describe("")


def _say(slot: Slot, hook: str, error: BaseException) -> None:
    trace = error.__traceback__ and error.__traceback__.tb_next  # without our own frame
    telemetry.emit(
        telemetry.WORKER_START_FAILED,
        slot=slot.index,
        pid=slot.pid,
        hook=hook,
        error=f"{type(error).__name__}: {error}",
        traceback="".join(traceback.format_exception(type(error), error, trace)),
    )
