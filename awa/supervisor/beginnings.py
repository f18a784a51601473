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
from awa.processes.silence import Silence
from awa.supervisor.node import Node
from awa.supervisor.occupants import Occupant
from awa.supervisor.worker_exit import Doom
from awa.telemetry import events

LOOK_S: Final = 0.25
"""How often to look. A worker that is asked for its stack has as long to answer."""


class _Watch:
    """One worker that begins."""

    def __init__(self, occupant: Occupant) -> None:
        self.occupant = occupant
        self.is_asked = False
        """Whether it has been asked for its stack."""
        self._hook = ""
        self._silence = Silence(2 * LOOK_S)

    def look(self, hook: str) -> float:
        """Return for how many seconds the worker has been in this function. A pause of the machine does not count."""
        if hook != self._hook:
            self._hook, self.is_asked = hook, False
            self._silence.beat()
        return self._silence.look()


class Beginnings:
    """Called from the main thread, again and again; never waits."""

    def __init__(self, node: Node, interrupt: Callable[[int], None], kill: Callable[[int, Doom], None]) -> None:
        """`interrupt(slot)` has a worker write its stack; `kill(slot, doom)` kills it with its group."""
        self._node = node
        self._interrupt = interrupt
        self._kill = kill
        self._watches: dict[int, _Watch] = {}
        self._look_at = 0.0

    def look(self) -> None:
        """Look at every worker that has not signed in yet."""
        if monotonic() < self._look_at:
            return
        self._look_at = monotonic() + LOOK_S
        for occupant in self._node.occupants.sound():
            slot = occupant.slot
            if slot.state == WorkerState.BOOTING and (hook := slot.label):
                self._see(occupant, hook)
            else:
                self._watches.pop(slot.index, None)

    def _see(self, occupant: Occupant, hook: str) -> None:
        slot, limit_s = occupant.slot.index, self._node.settings.start_timeout_s
        watch = self._watches.get(slot)
        if watch is None or watch.occupant is not occupant:
            watch = self._watches[slot] = _Watch(occupant)
        if watch.look(hook) <= limit_s:
            return
        stack = self._node.wakes.stacks[slot]
        if not watch.is_asked:
            watch.is_asked = True
            stack.clear()
            self._interrupt(slot)
            return
        stack.look()
        del self._watches[slot]
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
        self._kill(slot, Doom(f"{hook}, given to on_worker_start, has hung: {error}"))
