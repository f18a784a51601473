"""A worker whose every batch is locked by another transaction says so, and whose transaction it may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from awa.database.open import connect
from awa.engine.admin import control
from awa.engine.seal import seal
from awa.processes.board.scoreboard import Board
from awa.processes.clock import ServerClock
from awa.telemetry import events
from awa.worker import claimer
from awa.worker.claimer import Claimer
from awa.worker.lanes import Lanes
from awa.worker.lease_size import LeaseSizer
from awa.worker.pending import Pending
from tests.engine.helpers import KIND, add_sealed, add_unsealed, ids_of, sign_in
from tests.fixtures.waiting import Session

pytestmark = pytest.mark.postgres

QueryResult = list[dict[str, Any]]


@pytest.fixture
def said() -> Iterator[QueryResult]:
    heard: QueryResult = []
    unsubscribe = events.subscribe(lambda event, fields: heard.append(fields) if event == events.CLAIM_LOCKED else None)
    yield heard
    unsubscribe()


@pytest.fixture
def board() -> Iterator[Board]:
    one = Board.create(1)
    yield one
    one.close()


def test_open_cancels_hold_up_none_but_their_own_and_are_named(
    database: str, session: Callable[..., Session], said: QueryResult, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claimer, "LOCKED_S", 0.0)
    with connect(database, role="worker", plan_once=True) as db:
        ids = add_unsealed(db, 25)
        seal(db, batch_max=1)
        operator = session("careless")
        operator.run("begin")
        for job in ids[:20]:
            operator.run(control.cancel, job)
        worker = sign_in(db)
        made = Claimer(
            board[0], Lanes([KIND], None), LeaseSizer(), Pending(worker, board[0].take(worker)), ServerClock()
        )
        ran = []
        while claimed := made.next(db, 1):
            ran += ids_of(claimed)
            made._pending.settled(made._pending.outstanding(), set())
        assert ran == ids[20:]
        assert made.next(db, 1) is None
        assert made.next(db, 1) is None
        assert len(said) == 1
        assert said[0]["batches"] == 20
        operator.run("rollback")
        add_sealed(db)
        claimed = made.next(db, 1)
        assert claimed is not None
        assert ids_of(claimed) == ids[:1]
