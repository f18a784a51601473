"""Pool: keep N workers, replace the dead, stop them one by one or all at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from signal import SIGKILL, SIGUSR1, SIGUSR2
from time import monotonic
from typing import Any, Final

from awa.processes.board.checks import BoardDamage
from awa.processes.board.slot import BoardEntry, Remains, Stop, WorkerState
from awa.processes.exit_codes import ExitCode
from awa.processes.forkserver import Exited, Forked, ForkFailed, ForkServer
from awa.processes.oom import OomWatch
from awa.supervisor import worker_exit
from awa.supervisor.delegate import DeadWorker, WorkerDelegate
from awa.supervisor.node import Node
from awa.supervisor.occupants import Occupant
from awa.supervisor.worker_exit import WHATEVER_ATTEMPT, KillReason
from awa.telemetry import events

TEND_S: Final = 1.0
"""Interval at which workers are checked even if none has reported."""
QUICK_DEATH_S: Final = 2.0
"""A worker that dies sooner than this after its start, and without a job, counts towards a crash loop."""
BACKOFF_FIRST_S: Final = 0.2
BACKOFF_MAX_S: Final = 30.0
SAID_FROM: Final = 4
"""After so many vain starts in a row it is said, and again at each doubling."""
FENCED_WAIT_S: Final = 0.1
"""Seconds this node may take to sign in again before another worker tries to join it."""
UNDYING_S: Final = 5.0
"""After so long a worker should have ended that was sent SIGKILL."""


@dataclass
class Worker:
    """A worker process of this pool."""

    slot: int
    server: ForkServer
    """The forkserver it came from: an old one, during a reload."""
    node: int
    """The node it belongs to: an old one, after this node had been declared dead."""
    born: float
    stopping: bool = False
    kill_reason: KillReason | None = None
    """Why we have killed it, or it has ended."""
    killed_at: float | None = None
    """Time at which SIGKILL was sent to it, monotonic seconds; None before."""
    has_outlived: bool = False
    """It has been said that it does not end."""


class WorkerPool:
    """The workers of a node. Called from the main thread only; never waits."""

    def __init__(
        self,
        node: Node,
        server: ForkServer | None,
        delegate: WorkerDelegate,
        size: int,
        declared_dead: Callable[[], None],
    ) -> None:
        """Keep `size` workers of `server`. `declared_dead` is called when a worker says that its node was declared
        dead."""
        self.size = size
        self.workers: dict[int, Worker] = {}
        self._node = node
        self._server = server
        self._delegate = delegate
        self._declared_dead = declared_dead
        self._failures = 0
        self._not_before = 0.0
        self._closed = False
        self._oom = OomWatch()
        self._look_for_oom_at = 0.0

    # Growing and shrinking

    def tend(self) -> float:
        """Start workers that are missing; stop those that are too many, of an old forkserver or of an old node.

        Returns after how many seconds to look again at the latest.
        """
        if monotonic() >= self._look_for_oom_at:
            self._look_for_oom_at = monotonic() + TEND_S
            self._oom.look()
            self._say_undying()
        self._end_damaged()
        if self._closed or self._server is None:
            return TEND_S
        self._replace_declared_dead()
        self._replace_old()
        wait_s = self._not_before - monotonic()
        if wait_s <= 0:
            self._fork_missing(self._server)
        for worker in self._current()[self.size :]:
            self._stop(worker, Stop.AFTER_JOB)
        return wait_s if wait_s > 0 else TEND_S

    def resize(self, size: int) -> None:
        """Keep `size` workers from now on, as far as the board has room."""
        most = len(self._node.board) - 1  # one slot stays free: a reload needs it
        self.size = max(1, min(size, most))
        if size > most:
            events.emit(events.SUPERVISOR_WARNING, warning=f"{most} workers are the most this supervisor has room for")

    def renew(self, server: ForkServer) -> None:
        """Take workers from a new forkserver from now on."""
        self._server = server
        self._failures, self._not_before = 0, 0.0

    def has_workers_of(self, server: ForkServer) -> bool:
        """Return whether a worker of that forkserver lives."""
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
            self._stop(worker, Stop.SHUTDOWN)

    def kill(self, why: str) -> None:
        """End every worker now, for a reason that is stored with their jobs. These go back as soon as it has ended, and
        wait for no back-off: they are not to blame."""
        self._closed = True
        for slot in self.workers:
            self.end(slot, KillReason(why, "Shutdown", attempts_at_once=WHATEVER_ATTEMPT))

    def end(self, slot: int, kill_reason: KillReason) -> None:
        """Kill one worker with its process group. The first reason given is the one that is stored."""
        worker = self.workers.get(slot)
        if worker is not None:
            worker.kill_reason = worker.kill_reason or kill_reason
            worker.killed_at = worker.killed_at or monotonic()
            worker.server.kill(slot, SIGKILL)

    def interrupt(self, slot: int) -> None:
        """Have one worker look at the board for what to raise in its handler, and tell where it is."""
        worker = self.workers.get(slot)
        if worker is not None:
            worker.server.kill(slot, SIGUSR2, group=False)

    # What the forkserver reports

    def forked(self, event: Forked) -> None:
        """A worker has started."""
        occupant = self._node.occupants.get(event.slot)
        if occupant is not None:
            occupant.pid = event.pid
        events.emit(events.WORKER_STARTED, slot=event.slot, pid=event.pid)

    def fork_failed(self, event: ForkFailed) -> None:
        """The system would not fork."""
        self.workers.pop(event.slot, None)
        self._node.occupants.move_out(event.slot)
        self._back_off()
        events.emit(events.SUPERVISOR_SERVICE_FAILED, service="fork", error=event.error)

    def exited(self, event: Exited) -> None:
        """A worker has ended: see what it left, and let another take its place."""
        worker = self.workers.pop(event.slot)
        slot = self._node.board[event.slot]
        occupant = self._node.occupants.get(event.slot) or Occupant(slot, worker.node)
        self._node.occupants.move_out(event.slot)
        remains, damage = _remains(occupant, event.pid)
        running = remains.running
        self._see_whether_out_of_memory(worker, event)
        if damage is not None:
            worker.kill_reason = worker.kill_reason or worker_exit.damaged(damage)
            self._say_damaged(occupant, damage)
        elif worker.kill_reason is None and running and event.signal == SIGUSR2 and (why := slot.interrupt()):
            worker.kill_reason = worker_exit.interrupted(running, why)
        self._say_ended(worker, event, running)
        is_known = damage is None and slot.worker_id != 0 and not slot.is_between()
        how = worker_exit.of(event, running, self._node.clock, worker.kill_reason, is_known=is_known)
        self._delegate.rescue_worker(
            DeadWorker(occupant.worker, how, remains.finished, slot.worker_id, worker.node, event.pid)
        )
        self._judge(
            worker,
            event,
            came_to_something=damage is not None or slot.jobs_done() > 0 or running is not None,
            hung_at_start=worker.kill_reason is not None and slot.state == WorkerState.BOOTING,
        )
        if event.code == ExitCode.RECYCLED:
            self._node.look_back()  # what it handed back stands in front of where the others claim
        slot.state = WorkerState.VACANT

    def lost_all(self, server: ForkServer, hung: str | None = None) -> None:
        """A forkserver is gone and its workers with it; how each ended is unknown. `hung`: how it hung, if it
        was killed for that."""
        for worker in [worker for worker in self.workers.values() if worker.server is server]:
            if hung is not None and worker.kill_reason is None:
                worker.kill_reason = KillReason(f"its forkserver {hung}", attempts_at_once=WHATEVER_ATTEMPT)
            occupant = self._node.occupants.get(worker.slot)
            pid = occupant.pid if occupant is not None else None
            self.exited(Exited(worker.slot, pid or 0, None, int(SIGKILL), 0, 0.0, 0.0))
        if self._server is server:
            self._server = None

    def _end_damaged(self) -> None:
        """End the workers whose slots hold what no worker writes: what else they do cannot be known."""
        for occupant, damage in self._node.occupants.damaged():
            worker = self.workers.get(occupant.slot.index)
            if worker is not None and worker.kill_reason is None:
                self._say_damaged(occupant, damage)
                self.end(worker.slot, worker_exit.damaged(damage))

    def _say_damaged(self, occupant: Occupant, damage: BoardDamage) -> None:
        if occupant.is_said:
            return
        occupant.is_said = True
        last = occupant.last
        events.emit(
            events.WORKER_DAMAGED,
            slot=occupant.slot.index,
            pid=occupant.pid,
            worker=occupant.worker or None,
            job=last.job_id if last is not None else None,
            cell=damage.cell,
            value=str(damage.value),
            why=str(damage),
        )

    def _say_undying(self) -> None:
        """Say which workers live on although SIGKILL has been sent to them."""
        for worker in self.workers.values():
            if worker.killed_at is None or worker.has_outlived or monotonic() - worker.killed_at < UNDYING_S:
                continue
            worker.has_outlived = True
            occupant = self._node.occupants.get(worker.slot)
            events.emit(
                events.SUPERVISOR_WARNING,
                warning=f"the worker in slot {worker.slot} (process {occupant.pid if occupant else None}) lives on "
                f"{UNDYING_S:g} s after it was to be killed: it hangs in the kernel, or its forkserver (process "
                f"{worker.server.pid}) does",
            )

    def _say_ended(self, worker: Worker, event: Exited, running: BoardEntry | None) -> None:
        job = running.job_id if running else None
        if worker.killed_at is not None and worker.kill_reason is not None and event.signal == SIGKILL:
            events.emit(events.WORKER_KILLED, slot=event.slot, pid=event.pid, job=job, why=worker.kill_reason.why)
        events.emit(
            events.WORKER_EXITED,
            slot=event.slot,
            pid=event.pid,
            how=worker_exit.describe(event, running, worker.kill_reason),
            expected=worker_exit.is_expected(event, running) or self._closed,
            job=job,
            peak_mb=event.max_rss_kb // 1024 or None,
        )

    def _see_whether_out_of_memory(self, worker: Worker, event: Exited) -> None:
        killed_by_others = worker.kill_reason is None and event.signal == SIGKILL and event.max_rss_kb
        if killed_by_others and self._oom.took_one():
            worker.kill_reason = worker_exit.out_of_memory(event)

    def _judge(self, worker: Worker, event: Exited, *, came_to_something: bool, hung_at_start: bool) -> None:
        """Count a worker that came to nothing towards a crash loop. One that dies in a job costs that job an attempt,
        which is limit enough: no other job shall wait for it."""
        was_quick = monotonic() - worker.born <= QUICK_DEATH_S or event.code == ExitCode.BOOT_FAILED or hung_at_start
        if event.code == ExitCode.FENCED:
            if worker.node == self._node.id:  # it knew before we did
                self._declared_dead()
                self._not_before = max(self._not_before, monotonic() + FENCED_WAIT_S)
        elif came_to_something or not was_quick or event.code in (ExitCode.OK, ExitCode.RECYCLED):
            self._failures = 0
        else:
            self._back_off()

    # The workers

    def _current(self) -> list[Worker]:
        return [w for w in self.workers.values() if w.server is self._server and not w.stopping]

    def _fork_missing(self, server: ForkServer) -> None:
        missing = self.size - len(self._current())
        vacant = [slot for slot in range(len(self._node.board)) if slot not in self.workers]
        for slot in vacant[: max(0, missing)]:
            self._fork(server, slot)

    def _fork(self, server: ForkServer, slot: int) -> None:
        node = self._node
        message: dict[str, Any] = {
            "dsn": node.dsn,
            "response_timeout_s": node.response_timeout_s,
            "node": node.id,
            "queues": node.queues,
            "max_jobs": node.settings.max_jobs,
            "max_memory_mb": node.settings.max_memory_mb,
            "log_format": node.settings.log_format,
            "log_level": node.settings.log_level,
        }
        server.fork(slot, message)
        node.occupants.move_in(slot, node.id)
        self.workers[slot] = Worker(slot, server, message["node"], monotonic())

    def _replace_declared_dead(self) -> None:
        """After our node was declared dead: the jobs of its workers are others' by now, so none may start another."""
        for worker in self.workers.values():
            if worker.node != self._node.id and not worker.stopping:
                self._stop(worker, Stop.AFTER_JOB)

    def _replace_old(self) -> None:
        """During a reload: one old worker goes for each new one that has come up, or to make room for the first."""
        old = [w for w in self.workers.values() if w.server is not self._server and not w.stopping]
        up = sum(self._node.board[w.slot].state > WorkerState.BOOTING for w in self._current())
        surplus = len(old) + up - self.size
        no_room = len(self.workers) == len(self._node.board) and not self._current()
        for worker in old[: max(int(no_room), surplus)]:
            self._stop(worker, Stop.AFTER_JOB)

    def _stop(self, worker: Worker, how: Stop) -> None:
        worker.stopping = True
        self._node.board[worker.slot].stop = how
        self._node.wakes.wake(worker.slot)

    def _back_off(self) -> None:
        """Start the next worker later, and ever later: a first failure costs nothing, it may have been an accident."""
        self._failures += 1
        if self._failures > 1:
            wait_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(self._failures - 2, 10))
            self._not_before = monotonic() + wait_s
            self._say_crash_loop(wait_s)

    def _say_crash_loop(self, wait_s: float) -> None:
        failures = self._failures
        if failures >= SAID_FROM and failures & (failures - 1) == 0:
            events.emit(
                events.SUPERVISOR_WARNING,
                warning=f"{failures} workers in a row came to nothing; the next starts in {wait_s:g} s. See what "
                "worker.exited, worker.start_failed and supervisor.service_failed say of them; HUP loads the "
                "application again",
            )


def _remains(occupant: Occupant, pid: int) -> tuple[Remains, BoardDamage | None]:
    """Return what a dead worker left behind, and what is wrong with it. From a damaged slot only outcomes that bear a
    checksum are believed, and of those the database takes only what the worker had leased."""
    slot = occupant.slot
    try:
        if pid and slot.pid not in (0, pid):
            raise BoardDamage("PID", slot.pid, f"the worker was process {pid}")
        occupant.look()
        if occupant.damage is None:
            return slot.remains(), None
    except BoardDamage as damage:
        occupant.damage = occupant.damage or damage
    try:
        return Remains(slot.journal.read_checked().settlements, None), occupant.damage
    except BoardDamage:
        return Remains([], None), occupant.damage
