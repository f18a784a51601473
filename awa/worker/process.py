"""The life of a worker process, from fork to exit code."""

from __future__ import annotations

import contextlib
import faulthandler
import random
import signal
from collections.abc import Callable
from typing import Any, Final, TypeVar

import psycopg

from awa.database.errors import TROUBLE
from awa.database.open import connect
from awa.database.timeout import NoAnswer
from awa.engine import nodes
from awa.processes.board.slot import Slot, Stop, WorkerState
from awa.processes.descriptors import are_scarce
from awa.processes.exit_codes import ExitCode
from awa.processes.own import DescriptorsLost
from awa.processes.parent_death import parent_gone
from awa.processes.title import Title
from awa.processes.wakeups import WorkerWakes
from awa.telemetry import events, log
from awa.worker.app import loaded
from awa.worker.claimer import NodeDeclaredDead
from awa.worker.completion import LeftOpen
from awa.worker.hooks import StartFailed, start
from awa.worker.interrupts import Interrupts
from awa.worker.lifetime import Lifetime
from awa.worker.loop import WorkerLoop
from awa.worker.meter import Meter

IDLE_WAIT_S: Final = 2.0
"""An idle worker is woken when there is work; it looks by itself this often all the same."""
CONNECT_RETRIES_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Waits between tries to reach the database, each with up to half of it more."""
STDERR: Final = 2
"""By number: what the application has made of `sys.stderr` may not have one."""

Result = TypeVar("Result")


def main(slot: Slot, message: dict[str, Any], wakes: WorkerWakes) -> int:
    """Work until asked to stop, or for long enough.

    `message` holds dsn, response_timeout_s, node, queues (or None), max_jobs, max_memory_mb, log_format and log_level.
    """
    log.setup(message["log_format"], message["log_level"], f"worker {slot.index}")
    log.take_unhandled(message["log_format"], message["log_level"], f"worker {slot.index}")
    worker = _Worker(slot, message, wakes)
    try:
        return worker.live()
    except (NodeDeclaredDead, _NodeGone):
        return ExitCode.FENCED
    except DescriptorsLost as lost:
        return worker.leave_without_descriptors(lost)
    except LeftOpen:
        return ExitCode.RECYCLED  # at once: whatever this process still sent to the server would wait for itself
    except StartFailed:
        return ExitCode.BOOT_FAILED
    except _Stopped:
        return ExitCode.OK


def _pass_over(number: int, frame: Any) -> None:
    """Do nothing: the signal is meant for the supervisor."""


class _NodeGone(Exception):
    """The node this worker belongs to has been declared dead."""


class _Stopped(Exception):
    """Asked to stop while the database could not be reached."""


class _Worker:
    def __init__(self, slot: Slot, message: dict[str, Any], wakes: WorkerWakes) -> None:
        self._slot = slot
        self._wakes = wakes
        self._dsn: str = message["dsn"]
        self._response_timeout_s: float = message["response_timeout_s"]
        self._node: int = message["node"]
        self._queues: list[str] | None = message["queues"]
        self._log_level: str = message["log_level"]
        self._limits: tuple[int, int] = (message["max_jobs"], message["max_memory_mb"])
        self._lifetime = Lifetime()
        self._title = Title(f"worker {slot.index}")
        self._name = f"worker {slot.index}"
        self._interrupts = Interrupts(slot)
        self._terminated = False
        self._tries = 0
        self._has_complained = False

    def live(self) -> int:
        self._title.show("starting")
        self._take_signals()
        start(loaded().registry, self._slot)
        self._interrupts.take_timer()
        log.keep_info(self._log_level)  # after what the application does in a worker: it may set up its own
        loop = self._persist(self._start)
        events.emit(events.WORKER_READY, slot=self._slot.index, pid=self._slot.pid)
        while not self._is_done():
            self._step(loop)
        self._slot.enter(WorkerState.EXITING)
        self._title.show("leaving")
        self._wakes.files.check()
        self._guarded(loop, loop.close)
        return self._farewell()

    def leave_without_descriptors(self, lost: DescriptorsLost) -> int:
        """Say so; return the exit code. Neither the connection nor a channel is touched: by their numbers they may be
        others' files by now. The supervisor settles what the board shows as finished, and returns the rest."""
        events.emit(
            events.WORKER_RECYCLED,
            slot=self._slot.index,
            pid=self._slot.pid,
            reason=f"a handler has closed what the worker needs: {lost}",
            jobs=self._slot.turn,
            grown_mb=0,
        )
        return ExitCode.RECYCLED

    def _farewell(self) -> int:
        """Say why, unless it was asked for; return the exit code."""
        if (end := self._lifetime.end) is None:
            return ExitCode.OK
        events.emit(
            events.WORKER_RECYCLED,
            slot=self._slot.index,
            pid=self._slot.pid,
            reason=end.reason,
            jobs=end.jobs,
            grown_mb=end.grown_mb,
        )
        return ExitCode.RECYCLED

    def _step(self, loop: WorkerLoop) -> None:
        """Work, or wait for work."""
        if self._guarded(loop, loop.step):
            return
        if self._is_done():
            return
        self._wakes.files.check()
        self._slot.enter(WorkerState.IDLE)
        self._title.show("idle")
        self._wakes.wake_supervisor()
        self._wakes.wait(IDLE_WAIT_S)

    def _must_stop(self) -> bool:
        return self._terminated or self._slot.stop != Stop.NONE or parent_gone()

    def _is_done(self) -> bool:
        return self._lifetime.end is not None or self._must_stop()

    def _take_signals(self) -> None:
        """Ctrl-C and reloads are the supervisor's business; a TERM of our own ends us between two jobs."""
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU):
            signal.signal(number, _pass_over)  # SIG_IGN would be inherited by every program that a handler starts
        signal.signal(signal.SIGTERM, self._on_term)
        faulthandler.register(signal.SIGUSR1, file=STDERR, all_threads=True, chain=False)
        self._interrupts.listen(self._wakes.stack_fd)

    def _on_term(self, number: int, frame: Any) -> None:
        self._terminated = True
        with contextlib.suppress(DescriptorsLost):  # it says so itself, between two jobs
            self._wakes.files.check()
            self._wakes.wake_self()

    # The database, which may be away

    def _start(self) -> WorkerLoop:
        """Sign in and get ready to claim."""
        connection = self._connect()
        nodes.tell_tasks(connection, loaded().registry.max_attempts)
        worker = nodes.register_worker(connection, self._node)
        if worker is None:
            raise _NodeGone
        journal = self._slot.take(worker)
        self._lifetime = Lifetime(*self._limits, lacks_descriptors=are_scarce)
        return WorkerLoop(
            connection,
            worker,
            self._slot,
            journal,
            loaded().registry,
            self._queues,
            interrupts=self._interrupts,
            may_claim=lambda: not self._terminated,
            show=self._title.show,
            lifetime=self._lifetime,
            meter=Meter(alone=True),
            check_files=self._wakes.files.check,
        )

    def _guarded(self, loop: WorkerLoop, step: Callable[[], Result]) -> Result:
        """Do a step; when the connection breaks, get another, tell the server again what we had finished, and go on."""

        def attempt() -> Result:
            if self._tries:
                self._reconnect(loop)
            return step()

        return self._persist(attempt)

    def _connect(self) -> psycopg.Connection[Any]:
        connection = connect(self._dsn, role=self._name, response_timeout_s=self._response_timeout_s, plan_once=True)
        self._wakes.files.note_connection(connection)
        return connection

    def _reconnect(self, loop: WorkerLoop) -> None:
        self._wakes.files.check()  # or closing the old connection would close a file of the application's
        loop.connection.close()
        loop.recover(self._connect())

    def _persist(self, attempt: Callable[[], Result]) -> Result:
        """Try until it works."""
        while True:
            try:
                result = attempt()
            except TROUBLE as error:
                self._endure(error)
                continue
            if self._has_complained:
                events.emit(events.DATABASE_CONNECTED, who=self._name)
            self._tries, self._has_complained = 0, False
            return result

    def _endure(self, error: Exception) -> None:
        """Wait before the next try, with jitter, so that a fleet does not come back in step.

        The first one is made at once and without a word: a connection that only broke is back with it.
        """
        self._tries += 1
        is_first = self._tries == 1
        if not self._has_complained and (not is_first or isinstance(error, NoAnswer)):
            self._has_complained = True
            events.emit(events.DATABASE_LOST, who=self._name, error=" ".join(str(error).split()))
        if is_first:
            return
        self._title.show("waiting for the database")
        self._slot.enter(WorkerState.SETTLING)  # not idle: a wake-up would be wasted
        self._wakes.wait(
            CONNECT_RETRIES_S[min(self._tries - 2, len(CONNECT_RETRIES_S) - 1)] * (1 + random.random() / 2)
        )
        if self._must_stop():
            raise _Stopped
