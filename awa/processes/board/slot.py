"""One worker's place on the board: 64-bit cells, a label and a journal, each field with exactly one writer.

The worker's cells and the supervisor's lie in pages of their own, and a worker cannot write to the latter. What the
worker has written may be anything: a handler can write there, too. So the supervisor's methods check it, and raise
`BoardDamage` for what no worker of this node has written.

Worker and supervisor take no lock. A cell is stored and loaded whole, and where two values must agree they share one
cell (a generation in the high bits, a length or position in the low ones). What spans several cells, the running job,
is written in an order that leaves `job_id` last and cleared first, and numbered by `turn`, so that a reader can tell a
mixture and look again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from enum import IntEnum, IntFlag
from struct import Struct
from typing import NamedTuple

from awa.job.attempt import Settlement
from awa.job.model import StopReason
from awa.processes.board.checks import check_cells, check_running
from awa.processes.board.journal import LOW_BITS, LOW_MASK, JournalReader, JournalWriter
from awa.processes.clock import monotonic_us

# The worker's cells
PID, WORKER_ID, STATE, BEAT, LEASE, LEASE_SIZE, EXPECTED, TURN, POSITION, JOB_ID, ATTEMPT, JOB_STARTED, JOURNAL = range(
    13
)
DEADLINE, GRACE, FLAGS, CPU, SEALED, ENDED = range(13, 19)
# The supervisor's cells
STOP, CANCEL, LIMIT, FRONT, SETTLED, INTERRUPT, LOST = range(7)

CELLS = 32
LABEL_OFFSET = CELLS * 8
LABEL_BYTES = 128
FIXED_BYTES = LABEL_OFFSET + LABEL_BYTES
"""Size of everything that a worker writes but its journal."""
CONTROLS = 16
CONTROL_BYTES = CONTROLS * 8
"""Size of what the supervisor writes for one worker: whole cache lines, so that a store for one slows no other."""

_LABEL = Struct(f"{LABEL_BYTES}s")
_LOOKS_MAX = 8
_EPOCHS = 1 << 38
"""Epochs of a journal are below this, and begin again from 0: no reader holds on to one for so long."""


class WorkerState(IntEnum):
    """The state of a worker."""

    VACANT = 0
    BOOTING = 1
    IDLE = 2
    CLAIMING = 3
    RUNNING = 4
    SETTLING = 5
    EXITING = 6


class Stop(IntEnum):
    """A request of the supervisor to a worker. Killing is no request: it is done."""

    NONE = 0
    AFTER_JOB = 1
    """Finish the running job, hand back the rest of the lease and exit."""
    SHUTDOWN = 2
    """The same; and the running job's handler may see that it is to end soon."""


class Flag(IntFlag):
    """The facts about a job that is stopped."""

    NONE = 0
    RAISE_ON_CANCEL = 1
    """Its task wants an exception in the handler when it is cancelled."""
    FAILS_ON_TIMEOUT = 2
    """Its task does not retry a job that ran out of time."""


class Interrupt(IntEnum):
    """Why the supervisor has an exception raised in a handler."""

    NONE = 0
    TIMEOUT = 1
    CANCEL = 2


class Limits(NamedTuple):
    """The limits of a job."""

    timeout_us: int = 0
    """After so long `JobTimeout` is raised in its handler; 0: never."""
    grace_us: int = 10_000_000
    """So long after that, or after a cancel, the worker is killed if the handler still runs."""
    flags: int = 0
    """Flags of `Flag`."""


NO_LIMITS = Limits()


class BoardEntry(NamedTuple):
    """The job a worker is in."""

    turn: int
    """Numbers the jobs started by this worker from 1: tells a job from the same job run again."""
    job_id: int
    attempt: int
    lease: int
    position: int
    """Index in the lease."""
    started_us: int
    """Monotonic clock."""
    expected_us: int
    """Usual duration of jobs of this kind; 0 when unknown."""
    deadline_us: int = 0
    """Its deadline, monotonic clock; 0: none."""
    grace_us: int = 0
    flags: int = 0
    used_us: int = 0
    """Processor time that the worker had used before this job, microseconds."""


class Remains(NamedTuple):
    """The remains of a worker that died."""

    finished: list[Settlement]
    """Jobs that ended and were not settled."""
    running: BoardEntry | None
    """The job it died in: its attempt is spent."""


class _Cell:
    """A 64-bit field of the worker's, as an attribute. `slot.cells[BEAT]` is the same for a fifth of the time."""

    __slots__ = ("_index",)

    def __init__(self, index: int) -> None:
        self._index = index

    def __get__(self, slot: Slot, owner: type[Slot]) -> int:
        return slot.cells[self._index]

    def __set__(self, slot: Slot, value: int) -> None:
        slot.cells[self._index] = value


class _Control:
    """A 64-bit field of the supervisor's, as an attribute."""

    __slots__ = ("_index",)

    def __init__(self, index: int) -> None:
        self._index = index

    def __get__(self, slot: Slot, owner: type[Slot]) -> int:
        return slot.controls[self._index]

    def __set__(self, slot: Slot, value: int) -> None:
        slot.controls[self._index] = value


class Slot:
    """One worker's place. The worker calls `claim_slot` to `timeout_us`, the supervisor the rest."""

    __slots__ = (
        "_control_bytes",
        "_epoch",
        "_journal_bytes",
        "_label",
        "_label_text",
        "_memory",
        "all_cells",
        "cells",
        "controls",
        "index",
        "journal",
    )

    all_cells: Sequence[memoryview]
    """The worker's cells of all slots of the board, these included. A worker can only read those of others."""

    pid = _Cell(PID)
    worker_id = _Cell(WORKER_ID)
    state = _Cell(STATE)
    """A `WorkerState`."""
    beat = _Cell(BEAT)
    """Time of the worker's last sign of life, monotonic µs."""
    lease = _Cell(LEASE)
    """Numbers the leases of this worker from 1."""
    lease_size = _Cell(LEASE_SIZE)
    position = _Cell(POSITION)
    job_id = _Cell(JOB_ID)
    """0 when no job runs."""
    stop = _Control(STOP)
    """A `Stop`."""
    front = _Control(FRONT)
    """Rises when the worker should look for jobs from the very beginning of its lanes."""
    lost = _Control(LOST)
    """Rises when a job of the worker's lease has been cancelled: whether the next one still is in it is to be asked."""

    def __init__(self, index: int, memory: memoryview, control: memoryview, journal: memoryview) -> None:
        """`memory` is what the worker writes, `control` what the supervisor does."""
        self.index = index
        self._memory = memory
        self.cells = memory[:LABEL_OFFSET].cast("q")
        self._label = memory[LABEL_OFFSET:FIXED_BYTES]
        self._label_text: str | None = None
        self._control_bytes = control
        self.controls = control.cast("q")
        self._journal_bytes = journal
        self._epoch = 0
        self.journal = JournalReader(journal, self.cells, JOURNAL, self.controls, SETTLED)
        self.all_cells = (self.cells,)

    # The worker's side

    def claim_slot(self) -> None:
        """Move in: the first thing a worker process does."""
        self.enter(WorkerState.BOOTING)
        self.pid = os.getpid()  # last: a slot with a process id and no state is damaged

    def take(self, worker_id: int) -> JournalWriter:
        """Be the worker `worker_id`. Returns the journal to append to."""
        self.worker_id = worker_id
        return JournalWriter(self._journal_bytes, self.cells, JOURNAL, self.controls, SETTLED)

    def enter(self, state: WorkerState) -> None:
        """Show what the worker does from now on."""
        self.cells[STATE] = state
        self.cells[BEAT] = monotonic_us()

    def begin_lease(self, size: int, expected_us: int, label: str) -> int:
        """Show a new lease of `size` jobs. `label` names their kind and queue. Returns the number of the lease."""
        cells = self.cells
        cells[LEASE_SIZE] = size
        cells[EXPECTED] = expected_us
        cells[POSITION] = 0
        cells[LEASE] += 1
        self.describe(label)
        return cells[LEASE]

    def describe(self, label: str) -> None:
        """Show people what this worker is busy with."""
        if label != self._label_text:
            self._label_text = label
            _LABEL.pack_into(self._label, 0, label.encode())

    def begin_job(
        self, position: int, job_id: int, attempt: int, now_us: int, limits: Limits = NO_LIMITS, used_us: int = 0
    ) -> None:
        """Show the job about to run. `now_us` is on the monotonic clock; `used_us` is the processor time that the
        worker has used so far."""
        cells = self.cells
        cells[TURN] += 1
        timeout_us, cells[GRACE], cells[FLAGS] = limits
        cells[DEADLINE] = now_us + timeout_us if timeout_us else 0
        cells[CPU] = used_us
        cells[POSITION] = position
        cells[ATTEMPT] = attempt
        cells[JOB_STARTED] = cells[BEAT] = now_us
        cells[STATE] = 4  # WorkerState.RUNNING: looking up the member would cost as much as two stores
        cells[JOB_ID] = job_id

    def end_job(self) -> None:
        """Show that no job runs. First let the journal have the outcome: the job must never be in neither place."""
        cells = self.cells
        cells[JOB_ID] = 0
        cells[ENDED] = cells[TURN]

    def may_run(self, position: int) -> bool:
        """Return whether the job at `position` of the current lease may still be started. If not, hand the rest
        back."""
        word = self.controls[LIMIT]
        return word == 0 or word >> LOW_BITS != self.cells[LEASE] or position < word & LOW_MASK

    def is_cancelled(self) -> bool:
        """Return whether the running job has been cancelled."""
        return self.controls[CANCEL] == self.cells[TURN] != 0

    def stop_requested(self) -> StopReason | None:
        """Why the running job is to end, if it is."""
        if self.is_cancelled():
            return StopReason.CANCELLED
        if 0 < self.cells[DEADLINE] <= monotonic_us():
            return StopReason.TIMED_OUT
        return StopReason.SHUTTING_DOWN if self.controls[STOP] == Stop.SHUTDOWN else None

    def interrupt(self) -> Interrupt:
        """Why the supervisor interrupts the running job; NONE when it does not, or meant an earlier one."""
        word = self.controls[INTERRUPT]
        return Interrupt(word & 3) if word >> 2 == self.cells[TURN] else Interrupt.NONE

    def note_seal(self, now_us: int) -> None:
        """Tell the other workers that this one has sealed, beginning at that time, and left nothing."""
        self.cells[SEALED] = now_us

    def last_seal_us(self) -> int:
        """Time at which a worker last began a seal that left nothing, monotonic clock; 0: none has.

        A time to come was not written by a worker, and would keep all others from sealing.
        """
        now_us = monotonic_us()
        return max((sealed for cells in self.all_cells if (sealed := cells[SEALED]) <= now_us), default=0)

    @property
    def turn(self) -> int:
        """Number of jobs this worker has started."""
        return self.cells[TURN]

    @property
    def timeout_us(self) -> int:
        """The limits of the running job."""
        return self.cells[DEADLINE] - self.cells[JOB_STARTED]

    # The supervisor's side

    def wipe(self) -> None:
        """Make the slot ready for a new worker. Only when the last one is known to be dead."""
        # Epochs go on: what a reader may hold of the last worker can never pass for the next one's.
        epoch = self.cells[JOURNAL] >> LOW_BITS
        self._epoch = (max(epoch, self._epoch) if 0 <= epoch < _EPOCHS else self._epoch + LOW_MASK) % _EPOCHS + 1
        self._memory[:] = bytes(len(self._memory))
        self._control_bytes[:] = bytes(CONTROL_BYTES)
        self.cells[JOURNAL] = self._epoch << LOW_BITS

    @property
    def label(self) -> str:
        """Kind and queue of the current lease, for people to read."""
        return bytes(self._label).rstrip(b"\0").decode(errors="ignore")

    def jobs_done(self) -> int:
        """Return how many jobs this worker has ended."""
        return max(0, self.cells[TURN] - (self.cells[JOB_ID] != 0))

    def is_between(self) -> bool:
        """Return whether a job has begun and neither runs nor has ended: for an instant only, or the handler has taken
        it off."""
        return self.cells[JOB_ID] == 0 and self.cells[ENDED] != self.cells[TURN]

    def running(self) -> BoardEntry | None:
        """Return the job the worker is in, or None between jobs. Raises BoardDamage."""
        cells = self.cells
        for _ in range(_LOOKS_MAX):
            turn, job_id = cells[TURN], cells[JOB_ID]
            if job_id == 0:
                return None
            seen = BoardEntry(
                turn,
                job_id,
                cells[ATTEMPT],
                cells[LEASE],
                cells[POSITION],
                cells[JOB_STARTED],
                cells[EXPECTED],
                cells[DEADLINE],
                cells[GRACE],
                cells[FLAGS],
                cells[CPU],
            )
            if cells[TURN] == turn and cells[JOB_ID] == job_id:
                check_running(seen, monotonic_us())
                return seen
        return None  # jobs come and go faster than we look: none of them lasts

    def check(self, pid: int | None, worker: int) -> None:
        """Check every cell that the worker writes. `pid` and `worker` are what it is known to be; None and 0: unknown.

        Raises BoardDamage that says which cell holds what.
        """
        check_cells(self.cells.tolist(), len(self._journal_bytes), pid, worker, monotonic_us())

    def remains(self) -> Remains:
        """Return what the worker left behind. Only when it is known to be dead. Raises BoardDamage."""
        finished = self.journal.read_checked().settlements
        running = self.running()
        # It may have died between writing the outcome down and taking the job off the board.
        if running is not None and any(settlement.job_id == running.job_id for settlement in finished):
            running = None
        return Remains(finished, running)

    def cancel(self, running: BoardEntry) -> None:
        """Ask the handler of exactly this run to stop. Harmless when it has ended meanwhile."""
        self.controls[CANCEL] = running.turn

    def has_cancelled(self, running: BoardEntry) -> bool:
        """Return whether exactly this run was asked to stop."""
        return self.controls[CANCEL] == running.turn

    def raise_in(self, running: BoardEntry, why: Interrupt) -> None:
        """Leave word of why the handler of exactly this run is about to be interrupted."""
        self.controls[INTERRUPT] = running.turn << 2 | why

    def set_limit(self, lease: int, position: int) -> None:
        """Forbid the worker to start jobs of `lease` from `position` on.

        The worker stores what it starts and then loads the limit; we store the limit and then look at what it started.
        A CPU may let such a load overtake the store before it, for well under a microsecond. So look again a
        millisecond later (`running().turn` unchanged) before giving those jobs to others.
        """
        self.controls[LIMIT] = lease << LOW_BITS | position

    def release(self) -> None:
        """Let go of the shared memory."""
        for view in (self.cells, self.controls, self._label, self._memory, self._control_bytes, self._journal_bytes):
            view.release()
