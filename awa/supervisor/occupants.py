"""Occupants: which worker is in which slot of the board, as the forkserver and the database say.

What stands on the board was written by a process that also runs handlers, so it is looked at here and nowhere believed:
a slot that is damaged has no running job any more, wants no help and hears of no work. The pool ends its worker.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Final, NamedTuple

from awa.processes.board.checks import BoardDamage
from awa.processes.board.scoreboard import Board
from awa.processes.board.slot import BoardEntry, Slot, WorkerState

BETWEEN_S: Final = 1.0
"""A worker may be held up for so long between two stores that belong together."""


@dataclass(eq=False)
class Occupant:
    """A worker process in a slot."""

    slot: Slot
    node: int
    """The node that it belongs to."""
    pid: int | None = None
    """Its process id, as the forkserver has told; None: not yet."""
    worker: int = 0
    """Its id in the database, as the database has told; 0: not asked yet."""
    last: BoardEntry | None = None
    """The job in which it was seen last."""
    damage: BoardDamage | None = None
    """The damage found in its slot."""
    has_moved_in: bool = False
    """It has shown its process id."""
    between: tuple[int, float] | None = None
    """The run that was not there any more and had not ended, and since when, monotonic seconds."""
    is_said: bool = False
    """That has been said."""

    def look(self) -> BoardEntry | None:
        """Check the slot; return the job that runs, or None between jobs. Raises BoardDamage."""
        self.slot.check(self.pid, self.worker)
        if self.slot.pid:
            self.has_moved_in = True
        elif self.has_moved_in:
            raise BoardDamage("PID", 0, "the worker has moved in")
        self._look_between()
        running, last = self.slot.running(), self.last
        if running is not None:
            if last is not None and last.turn == running.turn and last != running:
                raise BoardDamage("TURN", running.turn, f"what that run began with has changed: {last} to {running}")
            self.last = running
        return running

    def _look_between(self) -> None:
        """See that no job is taken off the board which has not ended."""
        turn = self.slot.turn
        if not self.slot.is_between():
            self.between = None
        elif self.between is None or self.between[0] != turn:
            self.between = turn, monotonic()
        elif monotonic() - self.between[1] > BETWEEN_S:
            raise BoardDamage("JOB_ID", 0, f"run {turn} has not ended")


class Seen(NamedTuple):
    """An occupant and the job that it is in."""

    occupant: Occupant
    running: BoardEntry | None


class Occupants:
    """The workers on one board. The main thread moves them in and out; any thread may look."""

    def __init__(self, board: Board, ring: Callable[[], None]) -> None:
        """`ring` wakes the main loop, which ends what is damaged."""
        self._board = board
        self._ring = ring
        self._all: dict[int, Occupant] = {}

    def move_in(self, slot: int, node: int) -> Occupant:
        """Note that a worker is about to start in `slot`."""
        self._all[slot] = occupant = Occupant(self._board[slot], node)
        return occupant

    def move_out(self, slot: int) -> None:
        """Note that the worker in `slot` has ended."""
        self._all.pop(slot, None)

    def get(self, slot: int) -> Occupant | None:
        """Return the worker in `slot`, if there is one."""
        return self._all.get(slot)

    def sound(self) -> list[Occupant]:
        """Return those whose slots have not been found damaged so far."""
        return [each for each in list(self._all.values()) if each.damage is None]

    def damaged(self) -> list[tuple[Occupant, BoardDamage]]:
        """Return the others, each with what was found."""
        return [(each, each.damage) for each in list(self._all.values()) if each.damage is not None]

    def look(self) -> list[Seen]:
        """Check every slot; return those that are sound, each with the job that runs there."""
        seen = []
        for occupant in self.sound():
            try:
                seen.append(Seen(occupant, occupant.look()))
            except BoardDamage as damage:
                self.condemn(occupant, damage)
        return seen

    def condemn(self, occupant: Occupant, damage: BoardDamage) -> None:
        """Note that a slot is damaged."""
        if occupant.damage is None:
            occupant.damage = damage
            self._ring()

    def in_state(self, state: WorkerState) -> list[int]:
        """Return the slots whose worker is in `state`."""
        return [each.slot.index for each in self.sound() if each.slot.state == state]
