"""Pool: keep N workers, replace the dead, stop them one by one or all at once."""

from __future__ import annotations

from dataclasses import dataclass
from signal import SIGKILL, SIGUSR1, Signals
from time import monotonic, time_ns
from typing import Any, Final

from awa import telemetry
from awa.engine.rescue import Death
from awa.processes.clock import monotonic_us
from awa.processes.exitcodes import ExitCode
from awa.processes.forkserver import Exited, Forked, ForkFailed, ForkServer
from awa.processes.slot import Running, Stop, WorkerState
from awa.supervisor.node import Node
from awa.supervisor.proxy import Burial, Proxy

EXPECTED_EXITS: Final = frozenset({ExitCode.OK, ExitCode.RECYCLED, ExitCode.FENCED})
QUICK_DEATH_S: Final = 2.0
"""A worker that dies sooner than this after its start counts towards a crash loop."""
BACKOFF_MAX_S: Final = 30.0


@dataclass
class Worker:
    """A worker process of this pool."""

    slot: int
    server: ForkServer
    """The forkserver it came from: an old one, during a reload."""
    born: float
    stopping: bool = False


class Pool:
    """The workers of a node. Called from the main thread only; never waits."""

    def __init__(self, node: Node, server: ForkServer, proxy: Proxy, size: int) -> None:
        self.size = size
        self.workers: dict[int, Worker] = {}
        self._node = node
        self._server = server
        self._proxy = proxy
        self._quick_deaths = 0
        self._not_before = 0.0
        self._closed = False

    # Growing and shrinking

    def tend(self) -> float:
        """Start workers that are missing, stop those that are too many or of an old forkserver.

        Returns after how many seconds to look again at the latest.
        """
        if self._closed:
            return 1.0
        self._replace_old()
        missing = self.size - len(self._current())
        if missing > 0 and monotonic() < self._not_before:
            return self._not_before - monotonic()
        for slot in self._vacant()[: max(0, missing)]:
            self._fork(slot)
        for worker in self._current()[self.size :]:
            self._stop(worker, Stop.AFTER_JOB)
        return 1.0

    def resize(self, size: int) -> None:
        """Keep `size` workers from now on, as far as the board has room."""
        self.size = max(1, min(size, len(self._node.board) - 1))

    def renew(self, server: ForkServer) -> ForkServer:
        """Take workers from a new forkserver from now on; return the old one, to be stopped when `has_old` is over."""
        old, self._server = self._server, server
        self._quick_deaths, self._not_before = 0, 0.0
        return old

    def has_workers_of(self, server: ForkServer) -> bool:
        """Whether a worker of that forkserver lives."""
        return any(worker.server is server for worker in self.workers.values())

    def dump_stacks(self) -> None:
        """Have every worker write the Python stacks of its threads to standard error."""
        for worker in self.workers.values():
            worker.server.kill(worker.slot, SIGUSR1, group=False)

    # Ending

    def drain(self) -> None:
        """Start no more workers; have each finish its job, hand back the rest and exit."""
        self._closed = True
        for worker in self.workers.values():
            self._stop(worker, Stop.AFTER_JOB)

    def kill(self) -> None:
        """End every worker now. Their jobs go back as soon as their exit is reported."""
        self._closed = True
        for worker in self.workers.values():
            worker.server.kill(worker.slot, SIGKILL)

    # What the forkserver reports

    def forked(self, event: Forked) -> None:
        """A worker has started."""
        telemetry.emit(telemetry.WORKER_STARTED, slot=event.slot, pid=event.pid)

    def fork_failed(self, event: ForkFailed) -> None:
        """The system would not fork."""
        self.workers.pop(event.slot, None)
        self._back_off()
        telemetry.emit(telemetry.SUPERVISOR_SERVICE_FAILED, service="fork", traceback=event.error)

    def exited(self, event: Exited) -> None:
        """A worker has ended: see what it left, and let another take its place."""
        worker = self.workers.pop(event.slot)
        expected = event.code in EXPECTED_EXITS
        slot = self._node.board[event.slot]
        remains = slot.remains()
        running = remains.running
        telemetry.emit(
            telemetry.WORKER_EXITED,
            slot=event.slot,
            pid=event.pid,
            how=describe(event),
            job=running.job_id if running else None,
            peak_mb=event.max_rss_kb // 1024,
        )
        if slot.worker_id:
            self._proxy.bury(Burial(slot.worker_id, _death(event, running), remains.finished))
        slot.state = WorkerState.VACANT
        if expected or monotonic() - worker.born > QUICK_DEATH_S:
            self._quick_deaths = 0
        else:
            self._back_off()

    def lost_all(self, server: ForkServer) -> None:
        """A forkserver is gone and its workers with it; nobody will learn how each ended."""
        for worker in [worker for worker in self.workers.values() if worker.server is server]:
            slot = self._node.board[worker.slot]
            self.exited(Exited(worker.slot, slot.pid, None, int(SIGKILL), 0, 0.0, 0.0))
        self._back_off()

    def _current(self) -> list[Worker]:
        return [w for w in self.workers.values() if w.server is self._server and not w.stopping]

    def _vacant(self) -> list[int]:
        return [slot for slot in range(len(self._node.board)) if slot not in self.workers]

    def _fork(self, slot: int) -> None:
        node = self._node
        message: dict[str, Any] = {
            "dsn": node.dsn,
            "node": node.id,
            "queues": node.queues,
            "log_format": node.settings.log_format,
            "log_level": node.settings.log_level,
        }
        self._server.fork(slot, message)
        self.workers[slot] = Worker(slot, self._server, monotonic())

    def _replace_old(self) -> None:
        """During a reload: one old worker goes for each new one that has come up."""
        old = [w for w in self.workers.values() if w.server is not self._server and not w.stopping]
        up = sum(self._node.board[w.slot].state > WorkerState.BOOTING for w in self._current())
        for worker in old[: max(0, len(old) + up - self.size)]:
            self._stop(worker, Stop.AFTER_JOB)

    def _stop(self, worker: Worker, how: Stop) -> None:
        worker.stopping = True
        self._node.board[worker.slot].stop = how
        self._node.wakes.wake(worker.slot)

    def _back_off(self) -> None:
        self._quick_deaths += 1
        if self._quick_deaths > 1:
            self._not_before = monotonic() + min(BACKOFF_MAX_S, 0.1 * 2.0**self._quick_deaths)


def describe(event: Exited) -> str:
    """Return how a worker ended, in words."""
    if event.signal is not None:
        return f"killed by {Signals(event.signal).name}"
    if event.code in tuple(ExitCode):
        return ExitCode(event.code).name.lower()
    return f"exited with code {event.code}"


def _death(event: Exited, running: Running | None) -> Death:
    """Return what to store with the job the worker died in."""
    details = {"type": "WorkerDied", "signal": event.signal, "exit_code": event.code, "pid": event.pid}
    started_us = None
    if running is not None:
        started_us = time_ns() // 1000 - (monotonic_us() - running.started_us)
    return Death(
        f"worker {describe(event)}",
        running.job_id if running else 0,
        started_us,
        None,
        event.max_rss_kb or None,
        {name: value for name, value in details.items() if value is not None},
    )
