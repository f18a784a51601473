"""How often the proxy looks at the workers: when one of them may need it, and not much oftener."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import pytest

from awa.processes.board.scoreboard import Board
from awa.processes.board.slot import NO_LIMITS, Slot
from awa.settings import Settings
from awa.supervisor import delegate as module
from awa.supervisor.delegate import DELEGATE_INTERVAL_S, STUCK_US, WorkerDelegate
from awa.supervisor.node import Node
from awa.supervisor.occupants import Occupants

LOST_MS = 300
NOW_US = 1_000_000_000


@pytest.fixture
def board() -> Iterator[Board]:
    made = Board.create(2)
    yield made
    made.close()


@pytest.fixture
def delegate(board: Board, monkeypatch: pytest.MonkeyPatch) -> WorkerDelegate:
    monkeypatch.setattr(module, "monotonic_us", lambda: NOW_US)
    settings = Settings(stuck_after_ms=LOST_MS)
    occupants = Occupants(board, lambda: None)
    for slot in board.slots:
        occupants.move_in(slot.index, 1)
    return WorkerDelegate(cast(Node, SimpleNamespace(settings=settings, occupants=occupants, is_draining=False)))


def begin(slot: Slot, ago_us: int) -> None:
    slot.claim_slot()
    slot.take(7)
    slot.begin_lease(3, 1_000, "report from default")
    slot.begin_job(0, 11, 1, NOW_US - ago_us, NO_LIMITS)


def test_a_job_that_begins_now_is_looked_at_when_it_has_taken_long(delegate: WorkerDelegate) -> None:
    assert delegate.until_next_s() == pytest.approx(STUCK_US / 1e6)


def test_a_job_that_began_before_is_due_sooner(delegate: WorkerDelegate, board: Board) -> None:
    begin(board[0], 10_000)
    assert delegate.until_next_s() == pytest.approx((STUCK_US - 10_000) / 1e6)


def test_it_does_not_look_all_the_time(delegate: WorkerDelegate, board: Board) -> None:
    begin(board[1], STUCK_US - 15_000)
    assert delegate.until_next_s() == DELEGATE_INTERVAL_S


def test_one_that_has_been_helped_is_due_again_when_its_lease_is_to_be_freed(
    delegate: WorkerDelegate, board: Board
) -> None:
    begin(board[0], LOST_MS * 1000 - 30_000)
    assert delegate.until_next_s() == pytest.approx(0.03)
    begin(board[1], LOST_MS * 1000 + 1)  # nothing is left to do for this one
    assert delegate.until_next_s() == pytest.approx(0.03)
