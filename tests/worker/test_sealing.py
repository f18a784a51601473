"""When a busy worker seals: one of a node does it for all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from awa.database.open import connect
from awa.engine.seal import SEAL_JOBS_MAX, seal
from awa.processes.board.scoreboard import Board
from awa.processes.board.slot import SEALED
from awa.processes.clock import ServerClock, monotonic_us
from awa.worker.claimer import SEAL_EVERY_US, Claimer
from awa.worker.lanes import Lanes
from awa.worker.lease_size import LeaseSizer
from awa.worker.pending import Pending
from tests.engine.helpers import KIND, Connection, add, add_sealed, places, sign_in

pytestmark = pytest.mark.postgres


@pytest.fixture
def board() -> Iterator[Board]:
    two = Board.create(2)
    yield two
    two.close()


@pytest.fixture
def connections(database: str) -> Iterator[list[Connection]]:
    with ExitStack() as stack:
        yield [stack.enter_context(connect(database, role="worker", plan_once=True)) for _ in range(2)]


def claimer(connection: Connection, board: Board, index: int) -> Claimer:
    """One that has claimed a first job, of many, and is busy."""
    slot, worker = board[index], sign_in(connection, f"node {index}")
    made = Claimer(slot, Lanes([KIND], None), LeaseSizer(), Pending(worker, slot.take(worker)), ServerClock())
    assert made.next(connection, 1) is not None
    return made


def is_sealed(db: Connection, job: int) -> bool:
    return places(db)[job] == ["ready"]


def test_busy_workers_of_a_node_seal_in_turns(board: Board, connections: list[Connection]) -> None:
    ours, theirs = connections
    add_sealed(ours, 100)
    first, second = claimer(ours, board, 0), claimer(theirs, board, 1)
    board[0].cells[SEALED] = board[1].cells[SEALED] = monotonic_us() - SEAL_EVERY_US - 1
    (job,) = add(ours)
    assert first.next(ours, 1) is not None
    assert is_sealed(ours, job)

    (job,) = add(ours)
    assert second.next(theirs, 1) is not None  # the other one has just done it
    assert not is_sealed(ours, job)

    board[0].cells[SEALED] -= SEAL_EVERY_US + 1  # it is busy with a long job since
    assert second.next(theirs, 1) is not None
    assert is_sealed(ours, job)
    assert board[0].last_seal_us() == board[1].cells[SEALED]


def test_as_long_as_there_is_more_to_seal_each_does(board: Board, connections: list[Connection]) -> None:
    ours, theirs = connections
    add_sealed(ours, 100)
    first, second = claimer(ours, board, 0), claimer(theirs, board, 1)
    add(ours, SEAL_JOBS_MAX + 1)
    assert first.next(ours, 1) is not None
    assert second.next(theirs, 1) is not None
    assert seal(ours).jobs == 0


def test_one_that_finds_nothing_seals_whoever_has_just_done_it(board: Board, connections: list[Connection]) -> None:
    ours, _ = connections
    add_sealed(ours, 1)
    first = claimer(ours, board, 0)
    (job,) = add(ours)
    board[1].note_seal(monotonic_us())
    claimed = first.next(ours, 1)
    assert claimed is not None
    assert [lease.ids for lease in claimed.leases] == [[job]]
