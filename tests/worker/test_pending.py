"""What a worker has finished, and what it makes of the answer to a settle."""

from __future__ import annotations

import threading
from time import monotonic, sleep

import pytest

from awa import telemetry
from awa.job import JobState
from awa.outcome import Settlement
from awa.processes.board import Board
from awa.worker.pending import Pending

LONG_US = 60_000


def finished(job: int, took_us: int) -> Settlement:
    return Settlement(job, JobState.Completed, 1_000_000, 1_000_000 + took_us, 0, 0, -1, None)


@pytest.fixture
def board() -> Board:
    return Board.create(1)


@pytest.mark.parametrize("by", ["the worker", "its handler"])
def test_what_the_supervisor_settles_at_the_same_time_is_not_refused(board: Board, by: str) -> None:
    """It has settled the first two, and notes that only after our own settle was answered. The long job behind them is
    settled by the worker, or has been completed by its handler."""
    slot = board[0]
    pending = Pending(7, slot.take(7))
    for job in (1, 2):
        pending.add(finished(job, 100), 0)
    page = slot.journal.read()
    if by == "the worker":
        pending.add(finished(3, LONG_US), 0)
    else:
        pending.pass_over(LONG_US)
    outstanding = pending.outstanding()

    def note() -> None:
        sleep(0.005)
        slot.journal.mark_settled(page)

    noting = threading.Thread(target=note)
    noting.start()
    assert pending.settled(outstanding, {3})
    noting.join()
    assert pending.outstanding() == []


@pytest.mark.parametrize("took_us", [100, LONG_US])
def test_what_nobody_settled_is_refused(board: Board, took_us: int) -> None:
    pending = Pending(7, board[0].take(7))
    for job in (1, 2):
        pending.add(finished(job, took_us), 0)
    heard: list[tuple[str, object]] = []
    end = telemetry.subscribe(lambda event, fields: heard.append((event, fields["jobs"])))
    began = monotonic()
    assert not pending.settled(pending.outstanding(), {2})
    end()
    assert heard == [(telemetry.SETTLE_REFUSED, [1]), (telemetry.SETTLE_JOBS, 1)]
    assert took_us == LONG_US or monotonic() - began < 0.02  # short jobs: nobody helps, and nobody waits
