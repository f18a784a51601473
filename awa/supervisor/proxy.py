"""Proxy: speaks to the database for workers that cannot.

For one that died: settles what the board says it had finished, spends the attempt of the job it died in, returns the
rest. For one that is stuck in a long job: settles what it finished before.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final, NamedTuple

import psycopg

from awa import telemetry
from awa.engine import insert, rescue, settle
from awa.engine.rescue import Death
from awa.outcome import Settlement
from awa.processes.clock import monotonic_us
from awa.processes.slot import Slot, WorkerState
from awa.supervisor.node import Node
from awa.supervisor.service import Service

STUCK_US: Final = 50_000
"""A worker that has been in one job for this long gets its finished jobs settled for it."""
LOOK_S: Final = 0.025


class Burial(NamedTuple):
    """A worker to take apart."""

    worker: int
    death: Death
    finished: list[Settlement]


class Proxy(Service):
    """Takes orders from the main thread; keeps them until they are carried out."""

    name = "proxy"

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._burials: deque[Burial] = deque()

    def bury(self, burial: Burial) -> None:
        """Have a dead worker's lease taken apart, as soon as the database lets us."""
        self._burials.append(burial)
        self.ring()

    @property
    def is_done(self) -> bool:
        """Whether every dead worker has been dealt with."""
        return not self._burials

    def step(self, connection: psycopg.Connection[Any]) -> float:
        """Bury the dead, then help the stuck."""
        for _ in range(len(self._burials)):
            self._rescue(connection, self._burials[0])
            self._burials.popleft()  # only now: a failed try is made again
        for slot in self._node.board.slots:
            self._help(connection, slot)
        return LOOK_S

    def closing(self, connection: psycopg.Connection[Any]) -> None:
        """Bury whoever died last."""
        self.step(connection)

    def _rescue(self, connection: psycopg.Connection[Any], burial: Burial) -> None:
        try:
            rescued = rescue.rescue(connection, burial.worker, burial.death, burial.finished)
        except Exception:
            self._burials.rotate(-1)  # whatever is wrong with this one must not hold up the others
            raise
        if rescued.returned or rescued.suspect:
            self._node.look_back()
            insert.wake(connection)

    def _help(self, connection: psycopg.Connection[Any], slot: Slot) -> None:
        """Settle for a worker that is stuck."""
        if slot.state == WorkerState.VACANT or slot.journal.is_empty():
            return
        running = slot.running()
        if running is None or monotonic_us() - running.started_us < STUCK_US:
            return
        worker, page = slot.worker_id, slot.journal.read()
        if page.settlements and slot.worker_id == worker:  # or the slot has changed hands while we read
            accepted = settle.settle(connection, worker, page.settlements)
            slot.journal.mark_settled(page)
            telemetry.emit(telemetry.SETTLE_JOBS, worker=worker, jobs=len(accepted), by="proxy")
