"""Load the application in a process of its own, and meanwhile what a supervisor needs for itself.

Half of the time until the first job runs is spent on imports, of which the database's driver is the greatest part. The
loader has to do them, too, so it is started first: nothing that is imported at the head of this file needs the driver.
"""

from __future__ import annotations

import os
import select
import sys
from signal import Signals
from typing import Final

from awa.database.dsn import DSN_VARIABLE
from awa.processes.board.scoreboard import Board
from awa.processes.cpus import available_cpus
from awa.processes.descriptors import make_room
from awa.processes.exit_codes import ExitCode
from awa.processes.forkserver import BootFailed, ForkServer, ForkServerGone, Ready
from awa.processes.signals import SignalQueue
from awa.processes.title import Title
from awa.processes.wakeups import Wakes
from awa.settings import Settings
from awa.supervisor.servers import Servers
from awa.telemetry import log
from awa.text.printable import printable

BOOT: Final = "awa.worker.app:boot"
CHILD: Final = "awa.worker.process:main"
SIGNALS: Final = (
    Signals.SIGTERM,
    Signals.SIGINT,
    Signals.SIGQUIT,
    Signals.SIGHUP,
    Signals.SIGTTIN,
    Signals.SIGTTOU,
    Signals.SIGUSR1,
)
STOPPING: Final = frozenset({Signals.SIGTERM, Signals.SIGINT, Signals.SIGQUIT})
KILLED: Final = frozenset({Signals.SIGKILL, *STOPPING, Signals.SIGHUP})
"""Signals that come from outside, an operator's or the kernel's for want of memory: starting again would help."""
DESCRIPTORS_A_SLOT: Final = 4
"""Both ends of the pipe that wakes a worker, and of that for its stack."""
BOOT_LOOK_MS: Final = 1000
"""Interval at which a silent forkserver is checked for life."""


def run(settings: Settings, *, response_timeout_s: float | None = None) -> int:
    """Run a supervisor until it is told to stop; return the exit code.

    `response_timeout_s`: how long the server may take for an answer, in seconds; None:
    `awa.database.timeout.RESPONSE_TIMEOUT_S`. 0: drained. 1: the database cannot be used, or the loader was killed. 3:
    the application cannot be loaded; starting again would not help.
    """
    log.setup(settings.log_format, settings.log_level, "supervisor")  # type: ignore[arg-type]
    Title("supervisor").show("starting")
    signals = SignalQueue(SIGNALS)
    processes = settings.processes or available_cpus()
    board, wakes = _shared(processes)

    def start_server() -> ForkServer:
        message = {"app": settings.app, "log_format": settings.log_format, "log_level": settings.log_level}
        return ForkServer.start(BOOT, CHILD, board=board, wakes=wakes, message=message, env=_environment(settings))

    server = start_server()
    from awa.supervisor.start import serve  # while the application is loaded

    booted = _await_boot(server, signals)
    if not isinstance(booted, Ready):
        server.stop(timeout_s=0)
        return _boot_failed(booted)
    return serve(settings, booted, Servers(server, start_server), signals, processes, board, wakes, response_timeout_s)


def _environment(settings: Settings) -> dict[str, str] | None:
    """Return the application's environment: a client that names no database means the one given on the command line."""
    return {**os.environ, DSN_VARIABLE: settings.database_url} if settings.database_url else None


def _shared(processes: int) -> tuple[Board, Wakes]:
    """Make board and wake-ups with room for as many workers again: a reload has old and new ones side by side."""
    slots = max(2 * processes, processes + 8)
    make_room(DESCRIPTORS_A_SLOT * slots)
    return Board.create(slots), Wakes.create(slots)


def _await_boot(server: ForkServer, signals: SignalQueue) -> Ready | BootFailed | ForkServerGone | None:
    """Wait until the application is loaded, or cannot be; None: we were told to stop meanwhile."""
    poll = select.poll()
    poll.register(server.fileno(), select.POLLIN)
    poll.register(signals.fileno(), select.POLLIN)
    while True:
        poll.poll(BOOT_LOOK_MS)
        for event in server.poll():
            if isinstance(event, (Ready, BootFailed, ForkServerGone)):
                return event
        if STOPPING.intersection(signals.take()):
            return None


def _boot_failed(event: BootFailed | ForkServerGone | None) -> int:
    match event:
        case None:
            return ExitCode.OK
        case BootFailed(error=error, traceback=trace):
            if not error.startswith("AppLoadError"):  # an error of the application's code: show where it happened
                sys.stderr.write(printable(trace))
            reason = printable(error.removeprefix("AppLoadError: "))
            sys.stderr.write(f"error: the application cannot be loaded: {reason}\n")
        case ForkServerGone(signal=signal) if signal in KILLED:
            how = Signals(signal).name
            sys.stderr.write(f"error: the process that loaded the application was killed ({how}); start again\n")
            return 1
        case ForkServerGone(code=code, signal=signal):
            how = f"signal {signal}" if signal is not None else f"exit code {code}"
            sys.stderr.write(f"error: the application ended the process that loaded it ({how})\n")
    return ExitCode.BOOT_FAILED
