"""Worker delegate: speaks to the database for workers that cannot.

For one that died: settles what the board says it had finished, spends the attempt of the job it died in, returns the
rest. For one that is stuck in a long job: settles what it finished before, returns what it has not begun, and marks the
job on the board when it has been cancelled or given to others.
"""

from __future__ import annotations

from collections import deque
from time import monotonic, sleep
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.errors import LockNotAvailable

from awa.engine import narrow, nodes, rescue, settle
from awa.engine.rescue import WorkerExit
from awa.job.attempt import Settlement
from awa.processes.board.checks import BoardDamage
from awa.processes.board.slot import BoardEntry
from awa.processes.clock import monotonic_us
from awa.supervisor.crash_report import CrashReport
from awa.supervisor.node import Node
from awa.supervisor.occupants import Occupant
from awa.supervisor.service import Service
from awa.telemetry import events

STUCK_US: Final = 50_000
"""A worker that has been in one job for this long gets its finished jobs settled for it."""
STRAYS_S: Final = 1.0
"""Interval at which the leases of long-running jobs are confirmed with the database."""
LIMIT_SEEN_S: Final = 0.001
"""After so long a worker has seen a limit, or that it has lost a job, or we see what it started before."""
DELEGATE_INTERVAL_S: Final = 0.025
"""Shortest interval between two looks."""
HELP_PATIENCE_MS: Final = 50
"""So long the others wait behind the help for one worker, whose handler may have its lease locked by `job.complete`."""
HELP_AGAIN_S: Final = 0.5
"""After so long it is tried again …"""
HELP_HELD_UP_S: Final = 2.0
"""… and after so long in vain it is said."""


class DeadWorker(NamedTuple):
    """A worker to take apart."""

    worker: int
    """Its id; 0: it is to be looked up."""
    worker_exit: WorkerExit
    finished: list[Settlement]
    said: int = 0
    """The id that it has given on the board."""
    node: int = 0
    pid: int = 0


class WorkerDelegate(Service):
    """Takes orders from the main thread; keeps them until they are carried out."""

    name = "proxy"
    plan_once = True

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._dead_workers: deque[DeadWorker] = deque()
        self._crash_report = CrashReport()
        self._freed: dict[int, tuple[int, int]] = {}
        """By slot: the last worker and lease that was freed."""
        self._held_up: dict[int, tuple[float, float]] = {}
        """By worker whose lease is locked: since when, and when to try again."""
        self._strays_at = 0.0
        self._strays_asked = False

    def rescue_worker(self, dead: DeadWorker) -> None:
        """Have a dead worker's lease taken apart, as soon as the database lets us."""
        self._dead_workers.append(dead)
        self.ring()

    def look_for_strays(self) -> None:
        """See at once whether a running job has been cancelled. From any thread."""
        self._strays_asked = True
        self.ring()

    @property
    def is_done(self) -> bool:
        """Return whether every dead worker has been dealt with."""
        return not self._dead_workers

    def step(self, connection: psycopg.Connection[Any]) -> float:
        """Bury the dead, then help the stuck."""
        self._learn_names(connection)
        for _ in range(len(self._dead_workers)):
            dead = self._dead_workers[0]
            try:
                self._rescue(connection, dead)
            except LockNotAvailable as error:
                self.held_up(f"the rescue of worker {dead.worker or dead.said}", error)
                continue
            self._dead_workers.popleft()  # only now: a failed try is made again
            self.clear_error(f"the rescue of worker {dead.worker or dead.said}")
        self._mark_strays(connection)
        self._held_up = {
            worker: times for worker, times in self._held_up.items() if monotonic() - times[1] < HELP_HELD_UP_S
        }
        for occupant in self._node.occupants.sound():
            self._help_unless_locked(connection, occupant)
        return self.until_next_s()

    def until_next_s(self) -> float:
        """Return after how many seconds to look again: when a worker may first need help that it does not need now."""
        now_us, limits_us = monotonic_us(), (STUCK_US, self._lost_us)
        runs = (running for _, running in self._node.occupants.look())
        begun_us = [now_us, *(running.started_us for running in runs if running is not None)]
        due_us = [begun + limit - now_us for begun in begun_us for limit in limits_us]
        return max(DELEGATE_INTERVAL_S, min((due for due in due_us if due > 0), default=0) / 1e6)

    def unfinished_message(self) -> str:
        """Say whose jobs could not be given back."""
        workers = ", ".join(str(dead.worker or dead.said) for dead in list(self._dead_workers))
        return (
            f"the jobs of dead workers could not be handed back (workers {workers}): another supervisor does it when "
            "this one's heartbeat has been missing for long enough"
        )

    def closing(self, connection: psycopg.Connection[Any]) -> None:
        """Rescue the worker that died last."""
        self.step(connection)

    def _rescue(self, connection: psycopg.Connection[Any], dead: DeadWorker) -> None:
        try:
            named = self._named(connection, dead)
            if not named.worker:
                return  # it had not signed in, or its node has been declared dead and all its leases taken apart
            rescued = rescue.rescue(connection, named.worker, named.worker_exit, named.finished)
        except Exception:
            self._dead_workers.rotate(-1)  # whatever is wrong with this one must not hold up the others
            raise
        if rescued.kind and rescued.deaths:
            self._crash_report.note(rescued.kind, rescued.deaths)
        if rescued.returned or rescued.suspect:
            self._node.look_back()
            nodes.wake(connection)

    def _learn_names(self, connection: psycopg.Connection[Any]) -> None:
        """Look up the ids of workers that have signed in: what the board says of them may be forged."""
        for occupant in self._node.occupants.sound():
            said = occupant.slot.worker_id
            if occupant.worker or not said or occupant.pid is None:
                continue
            known = nodes.workers_of(connection, occupant.node, occupant.pid)
            if said in known:
                occupant.worker = said
            elif known:
                why = f"process {occupant.pid} has signed in as {known[-1]}"
                self._node.occupants.condemn(occupant, BoardDamage("WORKER_ID", said, why))

    def _named(self, connection: psycopg.Connection[Any], dead: DeadWorker) -> DeadWorker:
        """Return a dead worker under the id that the process has in the database. If it has told another one, or none
        though it had a lease, it has not told the truth about its running job either."""
        if dead.worker:
            return dead
        others = {each.worker for each in self._node.occupants.sound()}
        others |= {each.worker or each.said for each in self._dead_workers if each is not dead}
        known = [each for each in nodes.workers_of(connection, dead.node, dead.pid) if each not in others]
        if dead.said in known or not known:
            return dead._replace(worker=dead.said if known else 0)
        return dead._replace(worker=known[-1], worker_exit=dead.worker_exit._replace(running=None))

    def _help_unless_locked(self, connection: psycopg.Connection[Any], occupant: Occupant) -> None:
        """Help a worker, but let no other wait for the one whose lease is locked."""
        worker = occupant.worker
        if not worker:
            return  # it has not begun anything
        since, again = self._held_up.get(worker, (monotonic(), 0.0))
        if monotonic() < again:
            return
        try:
            self._help(connection, occupant)
        except BoardDamage as damage:
            self._node.occupants.condemn(occupant, damage)
        except LockNotAvailable as error:
            self._held_up[worker] = since, monotonic() + HELP_AGAIN_S
            if monotonic() - since >= HELP_HELD_UP_S:
                self.held_up(f"the help for worker {worker}", error)
        else:
            if self._held_up.pop(worker, None):
                self.clear_error(f"the help for worker {worker}")

    def _help(self, connection: psycopg.Connection[Any], occupant: Occupant) -> None:
        """Do for a worker that is stuck in a job what it would have done after it."""
        slot, running = occupant.slot, occupant.look()
        if running is None:
            return
        stuck_us = monotonic_us() - running.started_us
        if stuck_us >= STUCK_US and not slot.journal.is_empty():
            self._settle(connection, occupant)
        if stuck_us >= self._lost_us and running.position + 1 < slot.lease_size:
            self._free_lease(connection, occupant, running)

    @property
    def _lost_us(self) -> int:
        """After so long in one job a worker gets the rest of its lease given to others; at once, when it is to end."""
        return 0 if self._node.is_draining else self._node.settings.stuck_after_ms * 1000

    def _mark_strays(self, connection: psycopg.Connection[Any]) -> None:
        """Mark jobs on the board that were cancelled, or given to others, while they run. Asked for, look at all of
        them; else now and then at those that run for long, because a notification may get lost."""
        asked, self._strays_asked = self._strays_asked, False
        if not asked and monotonic() < self._strays_at:
            return
        self._strays_at = monotonic() + STRAYS_S
        if asked:
            sleep(LIMIT_SEEN_S)  # then a worker has seen that a job was cancelled, or we see what it started before
        least_us = 0 if asked else STRAYS_S * 1e6
        running = [
            (occupant, job)
            for occupant, job in self._node.occupants.look()
            if job is not None
            and occupant.worker
            and monotonic_us() - job.started_us >= least_us
            and not occupant.slot.has_cancelled(job)
        ]
        gone = rescue.strayed(connection, [(occupant.worker, job.job_id) for occupant, job in running])
        for occupant, job in running:
            if (occupant.worker, job.job_id) not in gone or not self._is_in(occupant):
                continue
            try:
                self._refuse_forged(connection, occupant, job)
                occupant.slot.cancel(job)
            except BoardDamage as damage:
                self._node.occupants.condemn(occupant, damage)
        if gone:
            self._node.wakes.supervisor.ring()

    def _refuse_forged(self, connection: psycopg.Connection[Any], occupant: Occupant, running: BoardEntry) -> None:
        """Raise BoardDamage if the job that a worker shows has never been its own."""
        if not rescue.is_forged(connection, occupant.worker, running.job_id):
            return
        now = occupant.look()
        if now is not None and now.turn == running.turn:  # or it has ended before the database was asked
            raise BoardDamage("JOB_ID", running.job_id, "that job has never been in its lease")

    def _is_in(self, occupant: Occupant) -> bool:
        """Return whether a slot still is that of the worker it was a moment ago."""
        return self._node.occupants.get(occupant.slot.index) is occupant

    def _settle(self, connection: psycopg.Connection[Any], occupant: Occupant) -> None:
        worker, journal = occupant.worker, occupant.slot.journal
        page = journal.read_checked()
        if page.settlements and self._is_in(occupant):  # or the slot has changed hands while we read
            accepted = narrow.settle(connection, worker, page.settlements, patience_ms=HELP_PATIENCE_MS)
            journal.mark_settled(page)
            events.emit(events.SETTLE_JOBS, worker=worker, jobs=len(accepted), by="proxy")

    def _free_lease(self, connection: psycopg.Connection[Any], occupant: Occupant, running: BoardEntry) -> None:
        """Give others what a stuck worker has claimed and not begun. It claims again after its job."""
        worker, slot = occupant.worker, occupant.slot
        if self._freed.get(slot.index) == (worker, running.lease):
            return

        def is_still_in_it() -> bool:
            now = slot.running()
            return self._is_in(occupant) and now is not None and now.turn == running.turn and slot.journal.is_empty()

        self._refuse_forged(connection, occupant, running)
        slot.set_limit(running.lease, running.position + 1)
        sleep(LIMIT_SEEN_S)
        freed = settle.release_if(connection, worker, [running.job_id], is_still_in_it, patience_ms=HELP_PATIENCE_MS)
        if freed is not None:
            self._freed[slot.index] = (worker, running.lease)
        if freed:
            self._node.look_back()
            nodes.wake(connection)
