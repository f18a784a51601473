"""The watchdog's steps against a job that will not end, seen from the board: its worker is sealed before it is
killed."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import NamedTuple, cast

import pytest

from awa.processes.board.scoreboard import Board
from awa.processes.board.slot import NO_LIMITS, Limits, Slot, Stop
from awa.processes.clock import monotonic_us
from awa.processes.wakeups import Wakes
from awa.supervisor.node import Node
from awa.supervisor.occupants import Occupants
from awa.supervisor.watchdog import Watchdog
from awa.supervisor.worker_exit import KillReason
from tests.fixtures.waiting import until

OVERDUE = Limits(timeout_us=1, grace_us=1, flags=0)


class Watched(NamedTuple):
    """A worker in the first of three jobs, whose time is up, and what the watchdog has done to it."""

    watchdog: Watchdog
    slot: Slot
    interrupted: list[int]
    killed: list[tuple[int, KillReason]]


@pytest.fixture
def watched() -> Iterator[Watched]:
    board, wakes = Board.create(1), Wakes.create(1)
    slot = board[0]
    slot.claim_slot()
    slot.take(7)
    slot.begin_lease(3, 1_000, "report from default")
    slot.begin_job(0, 11, 1, monotonic_us() - 1_000_000, OVERDUE)
    interrupted: list[int] = []
    killed: list[tuple[int, KillReason]] = []
    occupants = Occupants(board, wakes.supervisor.ring)
    occupants.move_in(0, 1)
    node = cast(Node, SimpleNamespace(board=board, wakes=wakes, occupants=occupants))
    watchdog = Watchdog(node, interrupted.append, lambda index, kill_reason: killed.append((index, kill_reason)))
    yield Watched(watchdog, slot, interrupted, killed)
    wakes.close()
    board.close()


def seal(watched: Watched) -> None:
    """Have the watchdog tell the handler, see that it does not heed, and ask for its stack."""
    until(lambda: watched.watchdog.look() >= 0 and watched.interrupted == [0, 0])


def test_the_worker_may_begin_no_other_job_once_the_grace_is_over(watched: Watched) -> None:
    slot = watched.slot
    watched.watchdog.look()
    assert slot.stop == Stop.NONE
    assert slot.may_run(1)
    seal(watched)
    assert slot.stop == Stop.AFTER_JOB
    assert not slot.may_run(1)
    assert not watched.killed


def test_a_job_that_ends_at_the_last_moment_costs_its_worker_nothing(watched: Watched) -> None:
    seal(watched)
    watched.slot.end_job()
    watched.watchdog.look()
    watched.slot.begin_job(0, 12, 1, monotonic_us(), NO_LIMITS)
    watched.watchdog.look()
    assert not watched.killed


def test_one_that_goes_on_is_killed_with_its_reason(watched: Watched) -> None:
    seal(watched)
    until(lambda: watched.watchdog.look() >= 0 and watched.killed)
    ((index, kill_reason),) = watched.killed
    assert index == 0
    assert kill_reason.type == "JobTimeout"
    assert kill_reason.why.startswith("out of time: still running")
