"""What the supervisor does not believe, cell by cell: each check of a worker's slot by itself."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from awa.processes.board.checks import BoardDamage
from awa.processes.board.scoreboard import Board
from awa.processes.board.slot import (
    ATTEMPT,
    BEAT,
    CELLS,
    CPU,
    DEADLINE,
    ENDED,
    EXPECTED,
    FLAGS,
    GRACE,
    JOB_ID,
    JOB_STARTED,
    JOURNAL,
    LEASE,
    LEASE_SIZE,
    PID,
    POSITION,
    SEALED,
    STATE,
    TURN,
    WORKER_ID,
    Limits,
    Slot,
    WorkerState,
)
from awa.processes.clock import monotonic_us
from awa.supervisor import occupants
from awa.supervisor.occupants import Occupant

JOURNAL_BYTES = 4096
HOUR_US = 3_600_000_000
TOO_MUCH = {
    PID: 1 << 31,
    WORKER_ID: 1 << 31,
    STATE: 7,
    LEASE: 1 << 39,
    LEASE_SIZE: 1 << 24,
    EXPECTED: 1 << 53,
    TURN: 1 << 39,
    POSITION: (1 << 24) - 1,
    ATTEMPT: 1 << 15,
    JOURNAL: (1 << 63) - 1,
    DEADLINE: 1 << 54,
    GRACE: 25 * HOUR_US,
    FLAGS: 4,
    CPU: 1 << 53,
    ENDED: 1 << 39,
}


@pytest.fixture
def slot() -> Iterator[Slot]:
    """A slot whose worker, number 9, is in the job 77."""
    board = Board.create(1, journal_bytes=JOURNAL_BYTES)
    slot = board[0]
    slot.claim_slot()
    slot.take(9)
    slot.begin_lease(3, 250, "email default")
    slot.begin_job(1, 77, 1, monotonic_us(), Limits(1_000_000))
    slot.check(os.getpid(), 9)
    yield slot
    board.close()


def check(slot: Slot, match: str, pid: int | None = None, worker: int = 0) -> None:
    with pytest.raises(BoardDamage, match=match):
        slot.check(pid, worker)


@pytest.mark.parametrize("index", range(ENDED + 1))
def test_no_cell_is_negative(slot: Slot, index: int) -> None:
    slot.cells[index] = -1
    check(slot, "holds -1, and that is from 0 to")


@pytest.mark.parametrize(("index", "value"), TOO_MUCH.items())
def test_no_number_is_greater_than_it_may_be(slot: Slot, index: int, value: int) -> None:
    slot.cells[index] = value
    check(slot, f"holds {value}, and that is from 0 to")


@pytest.mark.parametrize("index", range(ENDED + 1, CELLS))
def test_nothing_is_kept_in_other_cells(slot: Slot, index: int) -> None:
    slot.cells[index] = 1
    check(slot, f"its cell {index} holds 1, and nothing is kept there")


@pytest.mark.parametrize("index", [BEAT, JOB_STARTED, SEALED])
def test_no_time_is_to_come(slot: Slot, index: int) -> None:
    slot.cells[index] = monotonic_us() + HOUR_US
    check(slot, "that time has not come")


def test_who_has_moved_in_does_something(slot: Slot) -> None:
    slot.state = WorkerState.VACANT
    check(slot, "its cell STATE holds 0")


def test_a_worker_is_the_process_that_was_forked(slot: Slot) -> None:
    slot.pid = 1
    check(slot, f"the worker is process {os.getpid()}", pid=os.getpid())


def test_a_worker_is_the_one_that_it_has_signed_in_as(slot: Slot) -> None:
    slot.worker_id = 10
    check(slot, "it is worker 9", worker=9)


def test_a_journal_is_no_longer_than_its_memory(slot: Slot) -> None:
    slot.cells[JOURNAL] += JOURNAL_BYTES
    slot.check(None, 0)
    slot.cells[JOURNAL] += 1
    check(slot, f"a journal has {JOURNAL_BYTES} bytes")


@pytest.mark.parametrize(
    "index",
    [TURN, ATTEMPT, LEASE, POSITION, JOB_STARTED, EXPECTED, DEADLINE, GRACE, FLAGS, CPU, JOB_ID],
)
def test_no_number_of_a_running_job_is_negative(slot: Slot, index: int) -> None:
    """It is read again after the cells were checked, and may have changed since."""
    slot.cells[index] = -5
    with pytest.raises(BoardDamage, match="holds -5, and that is from 0 to"):
        slot.running()


def test_no_job_starts_in_time_to_come(slot: Slot) -> None:
    slot.cells[JOB_STARTED] = monotonic_us() + HOUR_US
    with pytest.raises(BoardDamage, match="its cell JOB_STARTED"):
        slot.running()


def test_no_job_is_out_of_time_before_it_starts(slot: Slot) -> None:
    slot.cells[DEADLINE] = slot.cells[JOB_STARTED] - 1
    with pytest.raises(BoardDamage, match="its cell DEADLINE"):
        slot.running()


@pytest.mark.parametrize("index", [JOB_ID, ATTEMPT, LEASE, POSITION, JOB_STARTED, DEADLINE, GRACE, FLAGS, CPU])
def test_what_a_run_began_with_stays(slot: Slot, index: int) -> None:
    occupant = Occupant(slot, 1, os.getpid())
    assert occupant.look() is not None
    slot.cells[index] += 1 if index != JOB_STARTED else -1
    with pytest.raises(BoardDamage, match="what that run began with has changed"):
        occupant.look()


def test_who_has_moved_in_does_not_vanish(slot: Slot) -> None:
    occupant = Occupant(slot, 1, os.getpid())
    occupant.look()
    slot.pid = 0
    with pytest.raises(BoardDamage, match="the worker has moved in"):
        occupant.look()


def test_no_job_is_taken_off_without_an_end(slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    occupant = Occupant(slot, 1, os.getpid())
    slot.job_id = 0
    assert occupant.look() is None  # the worker may be between two stores
    monkeypatch.setattr(occupants, "BETWEEN_S", -1.0)
    with pytest.raises(BoardDamage, match="run 1 has not ended"):
        occupant.look()
    slot.cells[ENDED] = slot.cells[TURN]
    assert occupant.look() is None
