"""Workers that die between signing in and telling their supervisor who they are."""

from __future__ import annotations

import os
from typing import Any

import psycopg
import pytest
from psycopg.errors import LockNotAvailable

from awa.database.open import connect
from awa.engine import nodes
from awa.engine.rescue import NODE_LOST
from awa.processes.board.scoreboard import Board
from awa.processes.forkserver import Exited
from awa.processes.wakeups import Wakes
from awa.settings import Settings
from awa.supervisor.delegate import DeadWorker, WorkerDelegate
from awa.supervisor.node import Node
from awa.supervisor.pool import Worker, WorkerPool
from tests.engine.helpers import add_sealed, take

pytestmark = pytest.mark.postgres


def test_they_leave_no_row_behind(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(database, role="test") as db:
        own, other = (nodes.register_node(db, name) for name in ("own", "other"))
        nodes.register_worker(db, own)
        elsewhere, with_lease = nodes.register_worker(db, other), nodes.register_worker(db, own)
        assert with_lease is not None
        add_sealed(db)
        assert take(db, with_lease).jobs == 1
        node = Node(Settings(app="a:b"), database, Board.create(1), Wakes.create(1), [], [], own)
        delegate = WorkerDelegate(node)
        rescue = delegate._rescue
        pool = WorkerPool(node, None, delegate, 1, declared_dead=lambda: None)
        elsewhen = DeadWorker(with_lease, NODE_LOST, [])

        def rescue_but_one(db: psycopg.Connection[Any], dead: DeadWorker) -> None:
            if dead is elsewhen:
                delegate._dead_workers.rotate(-1)
                raise LockNotAvailable("somebody holds it")
            rescue(db, dead)

        monkeypatch.setattr(delegate, "_rescue", rescue_but_one)
        delegate.rescue_worker(elsewhen)  # the system has used the number before
        pool.workers[0] = Worker(0, None, own, 0.0)  # type: ignore[arg-type]
        pool.exited(Exited(0, os.getpid(), None, 9, 0, 0.0, 0.0))
        delegate.step(db)
        left = [worker for (worker,) in db.execute("select id from awa.worker order by id")]
        assert left == [elsewhere, with_lease]
