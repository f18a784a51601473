"""Stalls: ends workers that hang between two jobs.

A job has a time limit, and the watchdog keeps it. Between jobs nothing limits a worker: one that is stopped there, by a
signal or a debugger, or that hangs, claims no jobs any more, and keeps those that it has claimed or finished and not
settled. It beats with each step that it takes, also while it waits for the database to come back.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from awa.processes.board.slot import WorkerState
from awa.processes.stopped import stopped_by
from awa.supervisor.node import Node
from awa.supervisor.occupants import Occupant
from awa.supervisor.watches import Watches
from awa.supervisor.worker_exit import KillReason

STALL_INTERVAL_S: Final = 1.0
STOPPED_S: Final = 5.0
"""A worker that has not beaten for so long, and is stopped, is ended."""
HUNG_RESPONSE_TIMEOUTS: Final = 10
"""One that is not stopped may wait for the server, in each of some statements for as long as an answer may take."""
_EXEMPT: Final = (WorkerState.VACANT, WorkerState.BOOTING)
"""An application's work at the start of a worker has a limit of its own, see `beginnings.py`."""


class Stalls:
    """Called from the main thread, again and again; never waits."""

    def __init__(self, node: Node, kill: Callable[[int, KillReason], None]) -> None:
        """`kill(slot, kill_reason)` kills a worker with its group."""
        self._node = node
        self._kill = kill
        self._watches = Watches(STALL_INTERVAL_S)
        self._look_at = 0.0

    def look(self) -> None:
        """Look at every worker that runs no job."""
        if monotonic() < self._look_at:
            return
        self._look_at = monotonic() + STALL_INTERVAL_S
        for occupant, running in self._node.occupants.look():
            slot = occupant.slot
            if running is not None or slot.state in _EXEMPT:
                self._watches.forget(slot.index)
            else:
                self._see(occupant)

    def _see(self, occupant: Occupant) -> None:
        slot = occupant.slot
        silent_s = self._watches.unchanged_s(occupant, (slot.beat, slot.turn, slot.state))
        if silent_s > STOPPED_S and occupant.pid is not None and (how := stopped_by(occupant.pid)):
            self._kill(slot.index, KillReason(f"it has taken no step for {silent_s:.0f} s: it is {how}"))
        elif silent_s > HUNG_RESPONSE_TIMEOUTS * self._node.response_timeout_s:
            self._kill(slot.index, KillReason(f"it has taken no step for {silent_s:.0f} s, and runs no job"))
