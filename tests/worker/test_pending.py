"""What a worker has finished, and what it makes of the answer to a settle."""

from __future__ import annotations

import threading
from time import monotonic, sleep

import pytest

from awa.job.attempt import Settlement
from awa.job.model import JobState
from awa.processes.board.journal import CAPACITY_MIN
from awa.processes.board.scoreboard import Board
from awa.task.error_entry import error_entry
from awa.telemetry import events
from awa.worker.pending import AGE_LONG_US, AGE_MAX_US, AWAITED_RATIO, COST_RATIO, END_PART, TOO_LATE, Pending

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
    end = events.subscribe(lambda event, fields: heard.append((event, fields["jobs"])))
    began = monotonic()
    assert not pending.settled(pending.outstanding(), {2})
    end()
    assert heard == [(events.SETTLE_REFUSED, [1]), (events.SETTLE_JOBS, 1)]
    assert took_us == LONG_US or monotonic() - began < 0.02  # short jobs: nobody helps, and nobody waits


def pending_since(board: Board, settle_us: float, *, is_awaited: bool = False) -> Pending:
    """One finished job, since the time 0, where a settle takes so long."""
    pending = Pending(7, board[0].take(7))
    pending._settle_us = settle_us
    pending.add(finished(1, 100), 0, is_awaited=is_awaited)
    return pending


@pytest.mark.parametrize(
    ("settle_us", "is_awaited", "due_us"),
    [
        (10, False, AGE_MAX_US),
        (1_000, False, COST_RATIO * 1_000),
        (1_000, True, AWAITED_RATIO * 1_000),
        (500_000, False, AGE_LONG_US),
        (500_000, True, AGE_LONG_US),
    ],
)
def test_the_dearer_a_settle_the_later_it_comes_but_not_too_late(
    board: Board, settle_us: float, is_awaited: bool, due_us: float
) -> None:
    pending = pending_since(board, settle_us, is_awaited=is_awaited)
    assert not pending.is_due(int(due_us), 0, 1e6)
    assert pending.is_due(int(due_us) + 1, 0, 1e6)
    assert pending.is_due(0, due_us + 1, 1e6)  # the next job would take it there


def test_one_that_is_awaited_has_those_before_it_settled_sooner(board: Board) -> None:
    pending = pending_since(board, 1_000)
    pending.add(finished(2, 100), 20_000, is_awaited=True)
    assert not pending.is_due(20_000 + AWAITED_RATIO * 1_000, 0, 1e6)
    assert pending.is_due(20_001 + AWAITED_RATIO * 1_000, 0, 1e6)
    pending.add(finished(3, 100), 30_000)
    assert pending.is_due(20_001 + AWAITED_RATIO * 1_000, 0, 1e6)


@pytest.mark.parametrize(
    ("settle_us", "is_awaited", "due_us", "slack_us"),
    [
        (10, False, AGE_MAX_US, AGE_MAX_US),
        (1_000, False, COST_RATIO * 1_000, COST_RATIO * 1_000 * END_PART),
        (1_000, True, AWAITED_RATIO * 1_000, AGE_MAX_US),
    ],
)
def test_a_lease_about_to_end_is_left_to_the_next_claim_unless_it_does_not_end(
    board: Board, settle_us: float, is_awaited: bool, due_us: int, slack_us: float
) -> None:
    pending = pending_since(board, settle_us, is_awaited=is_awaited)
    late_us = due_us + int(slack_us)
    assert not pending.is_due(late_us, 0, slack_us)
    assert pending.is_due(late_us, 0, slack_us + 1)
    assert pending.is_due(late_us + 1, 0, slack_us)
    pending.settled(pending.outstanding(), {1})
    assert not pending.is_due(10 * due_us, 0, 1e6)


@pytest.mark.parametrize("state", [JobState.Completed, JobState.Failed])
def test_an_outcome_too_large_for_the_board_is_there_in_short(state: JobState) -> None:
    """So that a worker which dies before it has settled it has not done its job for nothing."""
    slot = Board.create(1, journal_bytes=CAPACITY_MIN)[0]
    pending = Pending(7, slot.take(7))
    payload = error_entry("x" * 2000, "E", 3, terminal=True, details="y" * CAPACITY_MIN)
    filling = 1
    while pending._journal.append(finished(filling, 1)):
        filling += 1
    large = finished(filling, 1)._replace(state=state, payload=payload)
    assert not pending.add(large, 0)
    *_, shown = slot.journal.read().settlements
    assert shown._replace(payload=None) == large._replace(payload=None)
    assert shown.payload is not None
    assert TOO_LATE in shown.payload.decode()
    assert pending.jobs == [large]
