"""Lead: signing in and out, who is idle, and one leader at a time."""

import os
from collections.abc import Callable
from threading import Thread
from typing import Any

import psycopg
import pytest

from awa.engine import leader
from awa.engine import nodes as engine_nodes
from awa.engine.settle import release
from awa.version import __version__
from tests.engine.helpers import Connection, add_sealed, all_in, ids_of, take
from tests.fixtures.postgres import both_servers
from tests.fixtures.waiting import until

Connect = Callable[..., psycopg.Connection[Any]]


def idle_nodes(db: Connection) -> int:
    """What producers read."""
    row = db.execute("select last_value from awa.idle_nodes").fetchone()
    assert row is not None
    return int(row[0])


@pytest.fixture
def nodes(db: Connection) -> tuple[int, int]:
    return engine_nodes.register_node(db, "a"), engine_nodes.register_node(db, "b")


def test_a_node_says_who_it_is(db: Connection) -> None:
    node = engine_nodes.register_node(db, "web-1")
    row = db.execute("select name, pid, version from awa.node where id = %s", [node]).fetchone()
    assert row == ("web-1", os.getpid(), __version__)
    worker = engine_nodes.register_worker(db, node)
    assert db.execute("select id, node_id, pid from awa.worker").fetchall() == [(worker, node, os.getpid())]
    engine_nodes.leave_node(db, node)
    assert db.execute("select count(*) from awa.worker").fetchone() == (0,)


def test_workers_need_a_node(db: Connection) -> None:
    assert engine_nodes.register_worker(db, 77) is None


def test_what_tasks_say_is_written_where_it_is_new(db: Connection) -> None:
    def written() -> dict[str, tuple[int, str]]:
        rows = db.execute("select kind, max_attempts, xmin::text || xmax::text from awa.task").fetchall()
        return {kind: (number, versions) for kind, number, versions in rows}

    engine_nodes.tell_tasks(db, {"b": 3, "a": 25})
    first = written()
    engine_nodes.tell_tasks(db, {"b": 3, "a": 25})
    assert written() == first, "nothing has been touched"
    engine_nodes.tell_tasks(db, {"b": 4, "c": 1})
    assert {kind: number for kind, (number, _) in written().items()} == {"a": 25, "b": 4, "c": 1}
    assert written()["a"] == first["a"]


def test_ids_of_workers_are_never_used_again(db: Connection, nodes: tuple[int, int]) -> None:
    first = engine_nodes.register_worker(db, nodes[0])
    engine_nodes.leave_node(db, nodes[0])
    assert engine_nodes.register_worker(db, nodes[1]) != first


@pytest.mark.parametrize("table", ["node", "worker"])
def test_numbers_that_are_used_up_begin_anew(db: Connection, nodes: tuple[int, int], table: str) -> None:
    """After two billion; one that is in use then is passed over at the second try."""
    living = engine_nodes.register_worker(db, nodes[0])
    assert living == 1
    db.execute(f"select setval(pg_get_serial_sequence('awa.{table}', 'id'), 2147483646)".encode())
    taken = []
    while len(taken) < 2:
        try:
            one = engine_nodes.register_node(db, "c") if table == "node" else engine_nodes.register_worker(db, nodes[1])
            taken.append(one)
        except psycopg.errors.UniqueViolation:
            continue
    assert taken == [2147483647, 3 if table == "node" else 2]


def test_heartbeats_are_written_and_answered(db: Connection, nodes: tuple[int, int]) -> None:
    db.execute("update awa.node set heartbeat_at = '2000-01-01'")
    heard = engine_nodes.heartbeat(db, nodes[0])
    assert heard is not None
    assert heard.beats == {nodes[0]: 0, nodes[1]: 0}
    assert engine_nodes.beats(db) == {nodes[0]: 1, nodes[1]: 0}
    fresh = db.execute("select id from awa.node where heartbeat_at > now() - interval '1 minute'").fetchall()
    assert fresh == [(nodes[0],)]
    assert not engine_nodes.heartbeat(db, 77)


def test_idle_and_busy_may_be_said_twice(db: Connection, nodes: tuple[int, int]) -> None:
    for _ in range(2):
        engine_nodes.idle(db, nodes[0])
    engine_nodes.idle(db, 77)
    assert db.execute("select node_id from awa.idle_node").fetchall() == [(nodes[0],)]
    assert idle_nodes(db) == 1
    for _ in range(2):
        engine_nodes.busy(db, nodes[0])
    assert db.execute("select node_id from awa.idle_node").fetchall() == []
    assert idle_nodes(db) == 0


def test_a_node_that_left_is_idle_no_more(db: Connection, nodes: tuple[int, int]) -> None:
    engine_nodes.idle(db, nodes[0])
    engine_nodes.idle(db, nodes[1])
    assert idle_nodes(db) == 2
    engine_nodes.leave_node(db, nodes[0])
    assert db.execute("select node_id from awa.idle_node").fetchall() == [(nodes[1],)]
    assert idle_nodes(db) == 1


def test_what_a_failed_transaction_leaves_is_mended_by_saying_it_again(db: Connection, nodes: tuple[int, int]) -> None:
    engine_nodes.idle(db, nodes[0])
    with db.transaction(force_rollback=True):
        engine_nodes.busy(db, nodes[0])
    assert db.execute("select node_id from awa.idle_node").fetchall() == [(nodes[0],)]
    engine_nodes.idle(db, nodes[0])
    assert idle_nodes(db) == 1


def test_nodes_are_counted_one_after_the_other(db: Connection, nodes: tuple[int, int], connect: Connect) -> None:
    """One goes busy as another goes idle: who counts second sees what the first has done."""
    a, b = nodes
    engine_nodes.idle(db, a)
    other = connect()
    with db.transaction():
        engine_nodes.busy(db, a)
        pid = other.info.backend_pid
        thread = Thread(target=engine_nodes.idle, args=(other, b))
        thread.start()
        until(
            lambda: (
                db.execute("select wait_event_type from pg_stat_activity where pid = %s", [pid]).fetchone() == ("Lock",)
            )
        )
    thread.join()
    assert idle_nodes(db) == 1


@both_servers
def test_one_leads_until_it_has_lapsed(db: Connection, nodes: tuple[int, int]) -> None:
    a, b = nodes
    first = leader.elect(db, a)
    assert first.term == 1
    assert leader.elect(db, b) == (None, first.confirmed)
    again = leader.elect(db, a)
    assert again.term == 1, "confirming is no new term"
    assert leader.elect(db, b, first.confirmed).term is None, "it has been confirmed since"
    assert leader.elect(db, b, again.confirmed).term == 2
    assert leader.elect(db, a).term is None


def test_a_leader_that_is_gone_is_followed_at_once(db: Connection, nodes: tuple[int, int]) -> None:
    """Its node was declared dead; or its server process has ended."""
    a, b = nodes
    leader.elect(db, a, pooled=True)
    assert leader.elect(db, b).term is None
    engine_nodes.leave_node(db, a)
    with psycopg.connect(db.info.dsn, autocommit=True) as other:
        assert leader.elect(other, b).term == 2
        third = engine_nodes.register_node(db, "c")
        assert leader.elect(db, third).term is None
        pid = other.info.backend_pid
    until(lambda: db.execute("select from pg_stat_get_activity(%s)", [pid]).fetchone() is None)
    assert leader.elect(db, third).term == 3


def test_resigning_lets_the_next_one_in_at_once(db: Connection, nodes: tuple[int, int]) -> None:
    a, b = nodes
    leader.elect(db, a)
    leader.resign(db, b)
    assert leader.elect(db, b).term is None, "only the leader can resign"
    leader.resign(db, a)
    assert leader.elect(db, b).term == 2


def test_a_node_whose_worker_still_holds_a_lease_does_not_leave(db: Connection) -> None:
    """Nobody could take that lease apart: the node goes stale, and its jobs are rescued as those of a lost one."""
    node = engine_nodes.register_node(db, "here", ["noop"])
    worker = engine_nodes.register_worker(db, node)
    assert worker is not None
    add_sealed(db, 2)
    ids = ids_of(take(db, worker))
    engine_nodes.leave_node(db, node)
    assert db.execute("select count(*) from awa.node").fetchone() == (1,)
    release(db, worker)
    engine_nodes.leave_node(db, node)
    assert db.execute("select count(*) from awa.node").fetchone() == (0,)
    assert all_in(db, "ready", ids)
