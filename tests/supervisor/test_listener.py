"""The listener: whom it wakes for work that somebody else has made ready."""

from __future__ import annotations

import pytest

from awa.database.open import connect
from awa.engine import nodes
from awa.engine.insert.bulk import insert_many
from awa.engine.insert.direct_batches import JOBS_MIN
from awa.engine.insert.single import Envelope, NewJob
from awa.processes.board.scoreboard import Board
from awa.processes.board.slot import WorkerState
from awa.processes.wakeups import Wakes
from awa.settings import Settings
from awa.supervisor.delegate import WorkerDelegate
from awa.supervisor.listener import Listener
from awa.supervisor.node import Node

pytestmark = pytest.mark.postgres

LONG_S = 1000.0


@pytest.fixture
def node(database: str) -> Node:
    """A node with one worker, which is idle."""
    with connect(database, role="test") as connection:
        own = nodes.register_node(connection, "own")
    node = Node(Settings(app="a:b"), database, Board.create(1), Wakes.create(1), ["work"], ["default"], own)
    node.occupants.move_in(0, own)
    node.board[0].enter(WorkerState.IDLE)
    return node


def test_a_cancelled_job_has_its_worker_ask_for_its_lease(node: Node) -> None:
    listener = Listener(node, WorkerDelegate(node))
    with connect(node.dsn, role="listener") as connection, connect(node.dsn, role="operator") as operator:
        listener.opened(connection)
        node.board[0].take(7)
        operator.execute("select pg_notify('awa:cancel', '8 1')")
        listener.pause(connection, LONG_S)
        assert node.board[0].lost == 0, "that was another node's worker"
        operator.execute("select pg_notify('awa:cancel', '7 1')")
        listener.pause(connection, LONG_S)
        assert node.board[0].lost == 1


@pytest.mark.parametrize(("queue", "wakes"), [("default", True), ("of others", False)])
def test_who_is_told_of_jobs_in_a_lane_that_is_new_looks_for_it(
    node: Node, queue: str, wakes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("awa.supervisor.listener.LANES_FOR_S", LONG_S)
    listener = Listener(node, WorkerDelegate(node))
    with connect(node.dsn, role="listener") as connection, connect(node.dsn, role="producer") as producer:
        listener.opened(connection)
        listener.step(connection)  # reads the lanes: there are none
        with producer.transaction():
            insert_many(producer, [NewJob(b"{}", Envelope(queue, "work", 2, 25))] * JOBS_MIN)
        listener.pause(connection, LONG_S)
        listener.step(connection)
        assert node.wakes.workers[0].drain() is wakes


def test_a_node_that_stays_idle_says_so_again(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """What producers read is a sequence, and no transaction that fails takes a sequence back."""
    listener = Listener(node, WorkerDelegate(node))
    asked = "select last_value::int from awa.idle_nodes"
    with connect(node.dsn, role="listener") as connection:
        listener.opened(connection)
        listener.step(connection)
        assert connection.execute(asked).fetchone() == (1,)
        connection.execute("select setval('awa.idle_nodes', 0)")
        listener.step(connection)
        assert connection.execute(asked).fetchone() == (0,), "not with every look"
        monkeypatch.setattr("awa.supervisor.listener.ANNOUNCE_AGAIN_S", -1.0)
        listener.step(connection)
        assert connection.execute(asked).fetchone() == (1,)
