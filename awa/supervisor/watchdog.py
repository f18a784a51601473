"""Watchdog: ends what runs for too long, and what was cancelled. From the board alone: it needs no database.

A job that is to end goes through these stages, each of which may already be enough:

    told        its handler gets an exception (JobTimeout; JobCancelled, if its task wants that), or can see for
                itself that it was cancelled
    sealed      the grace is over: its worker may begin no other job, and is asked for its stack
    killed      with its whole process group, once the stack has come, or has not come in time

The worker is sealed first so that the kill cannot hit the next job, were this one to end at the very last moment.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from awa.processes.board.slot import BoardEntry, Flag, Interrupt, Stop
from awa.processes.clock import monotonic_us
from awa.processes.stacks import StackPipe
from awa.supervisor.node import Node
from awa.supervisor.occupants import Occupant
from awa.supervisor.worker_exit import KillReason
from awa.telemetry import events

CHECK_INTERVAL_US: Final = 100_000
"""Interval of the checks: a limit is enforced at most this late."""
STACK_LOOK_US: Final = 10_000
"""After so long without more of a stack, it is whole …"""
STACK_WAIT_US: Final = 250_000
"""… and after so long without any, none will come: the process is stopped, or stuck in the kernel."""

STACK_LAST_US: Final = 1_000_000
"""So long a stack is waited for that goes on and on."""


class Stage(IntEnum):
    """The stage of stopping a job."""

    TOLD = 1
    SEALED = 2
    KILLED = 3


@dataclass
class Case:
    """A job that is to end."""

    occupant: Occupant
    running: BoardEntry
    why: Interrupt
    stage: Stage
    due_us: int
    """Time at which the next stage begins, monotonic clock."""
    asked_us: int = 0
    """Time at which the stack was requested."""


class Watchdog:
    """Called from the main thread, again and again; never waits."""

    def __init__(self, node: Node, interrupt: Callable[[int], None], kill: Callable[[int, KillReason], None]) -> None:
        """`interrupt(slot)` sends a worker the signal it listens to; `kill(slot, kill_reason)` kills it with its
        group."""
        self._node = node
        self._interrupt = interrupt
        self._kill = kill
        self._cases: dict[int, Case] = {}

    def look(self) -> float:
        """Look at every running job; return after how many seconds to look again at the latest."""
        now_us = monotonic_us()
        next_us = CHECK_INTERVAL_US
        for occupant, running in self._node.occupants.look():
            slot = occupant.slot
            if running is None:
                self._cases.pop(slot.index, None)
            else:
                next_us = min(next_us, self._see(occupant, running, now_us))
        return max(0, next_us) / 1e6

    def _see(self, occupant: Occupant, running: BoardEntry, now_us: int) -> int:
        """Look at one running job; return in how many microseconds to do it again."""
        case = self._case(occupant, running, now_us)
        if case is None:
            until_us = running.deadline_us - now_us if running.deadline_us else CHECK_INTERVAL_US
            return min(CHECK_INTERVAL_US, until_us)
        if now_us >= case.due_us:
            self._go_on(case, now_us)
        return min(CHECK_INTERVAL_US, case.due_us - now_us)

    def _case(self, occupant: Occupant, running: BoardEntry, now_us: int) -> Case | None:
        """Return the case of this run; open one when its time is up or it has been cancelled."""
        slot = occupant.slot
        case = self._cases.get(slot.index)
        if case is not None and case.occupant is occupant and case.running.turn == running.turn:
            return case
        self._cases.pop(slot.index, None)
        if slot.has_cancelled(running):
            why = Interrupt.CANCEL
        elif running.deadline_us and now_us >= running.deadline_us:
            why = Interrupt.TIMEOUT
        else:
            return None
        case = Case(occupant, running, why, Stage.TOLD, now_us + running.grace_us)
        self._cases[slot.index] = case
        self._tell(case)
        return case

    def _tell(self, case: Case) -> None:
        """Raise in the handler, if that is what it wants."""
        slot = case.occupant.slot
        if case.why is Interrupt.TIMEOUT or case.running.flags & Flag.RAISE_ON_CANCEL:
            slot.raise_in(case.running, case.why)
            self._interrupt(slot.index)
        event = events.RUN_TIMED_OUT if case.why is Interrupt.TIMEOUT else events.RUN_CANCELLED
        events.emit(
            event,
            job=case.running.job_id,
            slot=slot.index,
            worker=slot.worker_id,
            label=slot.label,
            after_s=_ran_s(case),
        )

    def _go_on(self, case: Case, now_us: int) -> None:
        """Take the next step against a job whose grace is over."""
        slot = case.occupant.slot
        stack = self._node.wakes.stacks[slot.index]
        if case.stage is Stage.TOLD:
            slot.stop = max(slot.stop, Stop.AFTER_JOB)
            slot.set_limit(case.running.lease, case.running.position + 1)
            stack.clear()
            self._interrupt(slot.index)
            case.stage, case.asked_us = Stage.SEALED, now_us
        elif case.stage is Stage.SEALED and _has_told(stack, now_us - case.asked_us):
            self._kill(slot.index, _kill_reason(case, stack.text))
            case.stage = Stage.KILLED
        case.due_us = now_us + (CHECK_INTERVAL_US if case.stage is Stage.KILLED else STACK_LOOK_US)


def _has_told(stack: StackPipe, waited_us: int) -> bool:
    """Return whether the whole stack has come, or is not to be waited for any longer. More may come for ever: a handler
    can write there, too."""
    return waited_us >= STACK_LAST_US or (not stack.look() and (bool(stack.text) or waited_us >= STACK_WAIT_US))


def _kill_reason(case: Case, stack: str) -> KillReason:
    kind = "JobTimeout" if case.why is Interrupt.TIMEOUT else "JobCancelled"
    may_retry = not case.running.flags & Flag.FAILS_ON_TIMEOUT
    return KillReason(_words(case), kind, stack, attempts_at_once=0, may_retry=may_retry)


def _words(case: Case) -> str:
    running = case.running
    if case.why is Interrupt.CANCEL:
        return f"cancelled, and still running {running.grace_us / 1e6:g} s later"
    may_s = (running.deadline_us - running.started_us) / 1e6
    return f"out of time: still running {running.grace_us / 1e6:g} s after the {may_s:g} s it may take"


def _ran_s(case: Case) -> float:
    return round((monotonic_us() - case.running.started_us) / 1e6, 3)
