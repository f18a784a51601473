"""Beginnings: ends workers in which what the application does at their start takes too long.

A function given to `client.on_worker_start` may wait for a service that is away. Its worker does not claim meanwhile,
and no job's time limit reaches it. The worker shows on the board which function it is in; past the limit it is asked
for its stack, and then killed. The pool starts another one after a pause that grows with each failure.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from awa.processes.board.slot import WorkerState
from awa.supervisor.node import Node
from awa.supervisor.occupants import Occupant
from awa.supervisor.watches import Watches
from awa.supervisor.worker_exit import KillReason
from awa.telemetry import events

START_CHECK_INTERVAL_S: Final = 0.25
"""Interval of the checks, and the time a worker has to deliver its stack."""


class Beginnings:
    """Called from the main thread, again and again; never waits."""

    def __init__(self, node: Node, interrupt: Callable[[int], None], kill: Callable[[int, KillReason], None]) -> None:
        """`interrupt(slot)` has a worker write its stack; `kill(slot, kill_reason)` kills it with its group."""
        self._node = node
        self._interrupt = interrupt
        self._kill = kill
        self._watches = Watches(START_CHECK_INTERVAL_S)
        self._asked: dict[int, tuple[Occupant, str]] = {}
        """By slot: the worker that was last asked for its stack, and the function it was in."""
        self._look_at = 0.0

    def look(self) -> None:
        """Look at every worker that has not signed in yet."""
        if monotonic() < self._look_at:
            return
        self._look_at = monotonic() + START_CHECK_INTERVAL_S
        for occupant in self._node.occupants.sound():
            slot = occupant.slot
            if slot.state == WorkerState.BOOTING and (hook := slot.label):
                self._see(occupant, hook)
            else:
                self._watches.forget(slot.index)

    def _see(self, occupant: Occupant, hook: str) -> None:
        slot, limit_s = occupant.slot.index, self._node.settings.start_timeout_s
        if self._watches.unchanged_s(occupant, hook) <= limit_s:
            return
        stack = self._node.wakes.stacks[slot]
        if self._asked.get(slot) != (occupant, hook):
            self._asked[slot] = occupant, hook
            stack.clear()
            self._interrupt(slot)
            return
        stack.look()
        self._watches.forget(slot)
        error = f"it has not returned for the {limit_s:g} s that it may take"
        events.emit(
            events.WORKER_START_FAILED,
            slot=slot,
            pid=occupant.pid,
            hook=hook,
            error=f"{error}; the worker is killed, and another is started after a pause. Have the function give up "
            "by itself, or raise start_timeout_s",
            traceback=stack.text or None,
        )
        self._kill(slot, KillReason(f"{hook}, given to on_worker_start, has hung: {error}"))
