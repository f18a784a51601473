"""Listener: hears what is said to this node: that there is work, or that a running job has been cancelled.

It wakes as many idle workers as there is work for, and has the proxy look which of the running jobs was cancelled.

NOTIFY at every insert would serialise the commits of all producers, so producers send it only while `awa.idle_node` has
a row, which they read off `awa.idle_nodes`. That leaves a race (an insert that looked just before the row came), which
the poll catches; it also serves where LISTEN does not work, behind a transaction pooler.
"""

from __future__ import annotations

import select
from time import monotonic
from typing import Any, Final

import psycopg

from awa.database.open import is_pooled
from awa.engine import claim, nodes, seal
from awa.engine.seal import Sealed
from awa.processes.board.slot import WorkerState
from awa.supervisor.delegate import WorkerDelegate
from awa.supervisor.lock_report import Lookout
from awa.supervisor.node import Node
from awa.supervisor.service import Service
from awa.telemetry import events

WAKE: Final = "awa:wake"
CANCEL: Final = "awa:cancel"
BUSY_FOR_S: Final = 1.0
"""So long no worker must have been idle before wake-ups are cancelled: the row must not come and go with every job."""
ANNOUNCE_AGAIN_S: Final = 10.0
"""A node that stays idle says so this often: what producers read is not taken back with a transaction that fails."""
POLL_GROWTH_MAX: Final = 5
"""A node that stays idle polls ever more slowly, down to a fifth of the rate."""
LOOK_LATE_S: Final = 2.0
"""Seconds by which a job that has just come, and is to be waked for, goes before the look for waiting sessions: that
takes some milliseconds, which are most of what a job on an idle queue waits."""
LANES_FOR_S: Final = 1.0
"""So long the lanes are taken for known: another process may seal, or file, the first jobs of a new one."""


class Listener(Service):
    """Listens and polls for idle workers; asleep while there are none."""

    name = "listener"
    plan_once = True

    def __init__(self, node: Node, delegate: WorkerDelegate) -> None:
        """`delegate` is told when a job that may be running here has been cancelled."""
        super().__init__(node)
        self._delegate = delegate
        self._lookout = Lookout(node)
        self._lanes: set[int] = set()
        self._lanes_until = 0.0
        self._floor = 0
        self._announced: int | None = None
        self._has_said_polling = False
        self._is_told = False
        self._announced_at = 0.0
        self._idle_at = 0.0
        self._rounds_idle = 0

    def opened(self, connection: psycopg.Connection[Any]) -> None:
        """Listen; through a pooler, where others would hear what is said to us, poll only."""
        self._announced = None
        self._floor = 0  # the server may have gone back to an earlier state, in which ids are given out once more
        if is_pooled(connection):
            self._say_polling()
            return
        connection.execute(f'listen "{WAKE}"')
        connection.execute(f'listen "{CANCEL}"')

    def _say_polling(self) -> None:
        """Say once that nothing is heard through a pooler."""
        if not self._has_said_polling:
            self._has_said_polling = True
            events.emit(
                events.SUPERVISOR_WARNING,
                warning="the database is reached through a pooler that lends connections by the transaction: work is "
                f"found by polling, every {self._node.settings.poll_interval_ms} ms or more rarely, and not by "
                "notification. Give --database-url the server itself to change that",
            )

    def step(self, connection: psycopg.Connection[Any]) -> float:
        """Look for work if a worker is idle; wake it."""
        idle = self._node.occupants.in_state(WorkerState.IDLE)
        if not idle:
            self._rounds_idle = 0
            self._withdraw(connection)
            return BUSY_FOR_S  # a worker that becomes idle rings
        self._announce(connection)
        woken = self._wake(connection, idle)
        self._rounds_idle = 0 if woken else self._rounds_idle + 1
        poll_s = self._node.settings.poll_interval_ms / 1000
        return poll_s * min(POLL_GROWTH_MAX, 1 + self._rounds_idle / 50)

    def pause(self, connection: psycopg.Connection[Any], wait_s: float) -> None:
        """Wait for a notification, for the bell, or until the poll is due."""
        if self._heard(connection):
            self._lookout.look(connection, late_s=LOOK_LATE_S)
            return  # during the step, perhaps after it had looked
        if self._lookout.look(connection) and self._heard(connection):
            return  # during the look
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        poll.register(self._bell.fileno(), select.POLLIN)
        poll.poll(max(1, round(wait_s * 1000)))
        self._bell.drain()
        self._heard(connection)

    def forget_lanes(self) -> None:
        """Read the lanes again: the application has other kinds or queues. From any thread."""
        self._lanes_until = 0.0

    def _heard(self, connection: psycopg.Connection[Any]) -> bool:
        """Take the notifications that have arrived; return whether there were any."""
        heard = list(connection.notifies(timeout=0))
        cancelled = {notify.payload.partition(" ")[0] for notify in heard if notify.channel == CANCEL}
        if self._note_lost(cancelled):
            self._delegate.look_for_strays()
        if heard:
            self._rounds_idle = 0
            self._is_told = True
        return bool(heard)

    def _note_lost(self, workers: set[str]) -> bool:
        """Have those of some workers that belong to this node ask what is left of their lease before they start another
        job; return whether there are any."""
        slots = [slot for slot in self._node.board.slots if str(slot.worker_id) in workers]
        for slot in slots:
            slot.lost += 1
        return bool(slots)

    def _wake(self, connection: psycopg.Connection[Any], idle: list[int]) -> int:
        """Wake one idle worker per job there is to claim; return how many."""
        is_told, self._is_told = self._is_told, False
        sealed = seal.seal(connection, self._floor)
        self._floor = sealed.floor
        # What has just been sealed is not asked for once more: its first job would wait for the answer.
        known = self._known(sealed)
        woken = self._ring(idle, known)
        if sealed.jobs > known or monotonic() >= self._lanes_until:
            self._read_lanes(connection)
            woken += self._ring(idle[woken:], max(0, self._known(sealed) - woken))
        return woken or self._wake_for_ready(connection, idle, is_told=is_told)

    def _wake_for_ready(self, connection: psycopg.Connection[Any], idle: list[int], *, is_told: bool) -> int:
        """Wake one idle worker per job that was ready before; what was said to us may be of a lane that is new."""
        woken = self._ring(idle, claim.ready(connection, list(self._lanes), len(idle))) if self._lanes else 0
        if is_told and not woken and self._read_lanes(connection):
            woken = self._ring(idle, claim.ready(connection, list(self._lanes), len(idle)))
        return woken

    def _read_lanes(self, connection: psycopg.Connection[Any]) -> bool:
        """Read the lanes again; return whether there are others than before."""
        before = self._lanes
        self._lanes_until = monotonic() + LANES_FOR_S
        self._lanes = {lane.id for lane in claim.lanes(connection, self._node.kinds, self._node.queues)}
        return self._lanes != before

    def _ring(self, idle: list[int], jobs: int) -> int:
        """Wake an idle worker for each of some jobs; return how many."""
        for slot in idle[:jobs]:
            self._node.wakes.wake(slot)
        return len(idle[:jobs])

    def _known(self, sealed: Sealed) -> int:
        """Return the number of jobs that a seal has made ready in lanes that this node serves."""
        return sum(jobs for lane, jobs in sealed.claimable.items() if lane in self._lanes)

    def _announce(self, connection: psycopg.Connection[Any]) -> None:
        self._idle_at = monotonic()
        if is_pooled(connection):
            return  # producers would notify no listener
        if self._announced != self._node.id or self._idle_at - self._announced_at > ANNOUNCE_AGAIN_S:
            nodes.idle(connection, self._node.id)
            self._announced, self._announced_at = self._node.id, self._idle_at

    def _withdraw(self, connection: psycopg.Connection[Any]) -> None:
        if self._announced is not None and monotonic() - self._idle_at > BUSY_FOR_S:
            nodes.busy(connection, self._announced)
            self._announced = None
