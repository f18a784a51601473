"""Jobs that a worker has in lease and loses before it begins them, and handlers that are told to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from awa.database.open import connect
from awa.engine import settle
from awa.engine.admin import control
from awa.job.model import Job
from awa.processes.board.scoreboard import Board
from awa.processes.board.slot import CANCEL, Limits, Stop
from awa.task.registry import Registry
from awa.worker.interrupts import Interrupts
from awa.worker.loop import WorkerLoop
from tests.engine.helpers import KIND, add_sealed, sign_in, state

pytestmark = pytest.mark.postgres

Work = Callable[[Callable[[Any], Any]], WorkerLoop]


@pytest.fixture
def db(database: str) -> Iterator[psycopg.Connection[Any]]:
    with connect(database, role="test") as connection:
        yield connection


@pytest.fixture
def board() -> Iterator[Board]:
    one = Board.create(1)
    yield one
    one.close()


@pytest.fixture
def work(database: str, db: psycopg.Connection[Any], board: Board) -> Iterator[Work]:
    """Make a worker whose one handler is given."""
    with connect(database, role="worker", plan_once=True) as own:

        def make(handler: Callable[[Any], Any]) -> WorkerLoop:
            registry = Registry()
            registry.add(handler, None, KIND, "default")
            worker = sign_in(db)
            return WorkerLoop(
                own, worker, board[0], board[0].take(worker), registry, None, interrupts=Interrupts(board[0])
            )

        yield make


def test_a_job_cancelled_in_the_lease_is_not_begun(db: psycopg.Connection[Any], work: Work, board: Board) -> None:
    """Once the word of it has come to the board; the worker then asks what is left of its lease."""
    ids = add_sealed(db, 8)
    began: list[int] = []

    def handler(job: Job) -> None:
        began.append(job.id)
        if job.id == ids[1]:
            assert all(control.cancel(db, other) for other in (ids[2], ids[4]))
            board[0].lost += 1
        if job.id == ids[5]:
            assert control.cancel(db, ids[6])
            board[0].lost += 1

    loop = work(handler)
    while loop.step():
        pass
    loop.close()
    assert began == [job for n, job in enumerate(ids) if n not in (2, 4, 6)]
    assert [state(db, job) for job in ids] == ["cancelled" if n in (2, 4, 6) else "completed" for n in range(len(ids))]
    assert board[0].running() is None
    assert not board[0].is_between()


def test_a_job_whose_line_cannot_be_let_go_is_not_shown_as_running(
    db: psycopg.Connection[Any], work: Work, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks when the handler has completed its job: it is made up for over the next one."""
    (job,) = add_sealed(db, ordering_key=b"k")
    let_go: list[list[int]] = []

    def stopped(connection: Any, worker: int, jobs: list[int]) -> None:
        let_go.append(list(jobs))
        if len(let_go) == 1:
            raise psycopg.OperationalError("the connection is lost")

    def handler(job: Any) -> None:
        with db.transaction():
            job.complete(db)

    loop = work(handler)
    monkeypatch.setattr(settle, "stopped", stopped)
    with pytest.raises(psycopg.OperationalError):
        loop.step()
    assert board[0].running() is None
    monkeypatch.setattr(settle, "release", lambda connection, worker: 0)
    loop.recover(loop.connection)
    assert let_go == [[job], [job]]
    assert state(db, job) == "completed"


def test_why_a_handler_is_to_stop(board: Board) -> None:
    slot = board[0]
    slot.begin_job(0, 1, 1, 1_000_000, Limits(timeout_us=10**15))
    assert slot.stop_requested() is None
    slot.stop = Stop.AFTER_JOB  # a reload, or a worker less: no hurry
    assert slot.stop_requested() is None
    slot.stop = Stop.SHUTDOWN
    assert slot.stop_requested() == "shutting_down"
    slot.end_job()
    slot.begin_job(0, 2, 1, 0, Limits(timeout_us=1))
    assert slot.stop_requested() == "timed_out"
    slot.controls[CANCEL] = slot.turn
    assert str(slot.stop_requested()) == "cancelled"
