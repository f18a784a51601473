"""Who is taken for dead, and who is not: after an outage of the database every heartbeat is missing."""

from __future__ import annotations

from time import monotonic
from typing import Any

import psycopg
import pytest

from awa.database.open import connect
from awa.engine import nodes
from awa.processes.board.scoreboard import Board
from awa.processes.wakeups import Wakes
from awa.settings import Settings
from awa.supervisor.duties.rescue import Rescue
from awa.supervisor.heartbeat import Heartbeat
from awa.supervisor.leader import Leader
from awa.supervisor.node import LATE, Node
from awa.supervisor.peers import Peers
from awa.supervisor.service import retry_s

pytestmark = pytest.mark.postgres

LONG_S = 100.0


@pytest.fixture
def node(database: str) -> Node:
    """A node whose heartbeats have been answered in time for long, next to another one. Both are silent."""
    with connect(database, role="test") as connection:
        own, _ = (nodes.register_node(connection, name) for name in ("own", "other"))
        beats = nodes.beats(connection)
    node = Node(Settings(app="a:b"), database, Board.create(1), Wakes.create(1), [], [], own)
    node.steady_since = monotonic() - LONG_S
    node.peers.note(beats, monotonic() - LONG_S, monotonic() - LONG_S)
    return node


def survivors(connection: psycopg.Connection[Any]) -> list[str]:
    return [name for (name,) in connection.execute("select name from awa.node order by name")]


def test_a_node_does_not_declare_itself_dead(node: Node) -> None:
    with connect(node.dsn, role="test") as connection:
        Rescue(node).run_once(connection)
        assert survivors(connection) == ["own"]


def test_a_leader_whose_connection_breaks_now_and_then_still_judges(node: Node) -> None:
    leader, duty = Leader(node, []), Rescue(node)
    with connect(node.dsn, role="test") as connection:
        leader.opened(connection)
        node.note_beat()
        duty.run_once(connection)
        assert survivors(connection) == ["own"]


def test_after_a_silence_the_others_get_the_time_to_speak(node: Node) -> None:
    """Nothing broke; but our own heartbeat was answered late, and theirs may be on their way."""
    duty = Rescue(node)
    with connect(node.dsn, role="test") as connection:
        node.beat_at -= 2 * node.settings.heartbeat_interval_s
        duty.run_once(connection)  # our own has not been answered yet
        node.note_beat()  # it is back: as after an outage
        duty.run_once(connection)
        assert survivors(connection) == ["other", "own"]
        node.steady_since -= node.settings.heartbeat_stale_s
        duty.run_once(connection)
        assert survivors(connection) == ["own"]


def test_a_silence_while_it_asks_who_is_silent(node: Node) -> None:
    """The answer comes when all is well again: it is true, and means nothing."""

    class Hanging(psycopg.Connection[Any]):
        def wait(self, *args: Any, **options: Any) -> Any:
            answer = super().wait(*args, **options)
            node.beat_at -= node.settings.heartbeat_interval_s
            return answer

    with Hanging.connect(node.dsn, autocommit=True) as connection:
        Rescue(node).run_once(connection)
        assert survivors(connection) == ["other", "own"]


@pytest.mark.parametrize("step", ["1 hour", "-1 hour"])
def test_a_step_of_the_servers_clock_makes_nobody_look_dead_or_alive(node: Node, step: str) -> None:
    """What the server's clock shows does not count: neither an old date nor one that is to come."""
    duty = Rescue(node)
    with connect(node.dsn, role="test") as connection:
        live = nodes.register_node(connection, "live")
        duty.run_once(connection)
        assert survivors(connection) == ["live", "own"]
        node.peers.note(nodes.beats(connection), monotonic() - 1, monotonic() - 1)
        connection.execute("update awa.node set heartbeat_at = heartbeat_at - %s::interval", [step])
        duty.run_once(connection)
        assert survivors(connection) == ["live", "own"]
        node.peers.note(nodes.beats(connection), monotonic() + LONG_S, monotonic() + LONG_S)
        duty.run_once(connection)
        assert survivors(connection) == ["own"]
        assert nodes.heartbeat(connection, live) is None


def test_the_silence_of_a_peer_is_measured_from_answer_to_question() -> None:
    peers = Peers()
    peers.note({1: 5, 2: 7}, asked=0.0, answered=10.0)
    peers.note({1: 5, 2: 8}, asked=24.0, answered=40.0)
    assert peers.silent(15.0, but=9) == {}
    assert peers.silent(14.0, but=9) == {1: 5}
    assert peers.silent(14.0, but=1) == {}
    peers.note({1: 4, 2: 8}, asked=1.0, answered=2.0)  # an older answer, overtaken by the others
    assert peers.silent(14.0, but=9) == {1: 5}
    peers.note({1: 6}, asked=41.0, answered=41.0)
    assert peers.silent(0.1, but=9) == {}


def test_a_peer_that_died_as_its_last_heartbeats_were_lost_is_silent() -> None:
    """A failover, or a recovery to a point in time, has taken back heartbeats that we had counted."""
    peers = Peers()
    peers.note({1: 5}, asked=0.0, answered=1.0)
    peers.note({1: 3}, asked=2.0, answered=3.0)
    assert peers.silent(5.0, but=9) == {}
    peers.note({1: 3}, asked=10.0, answered=11.0)
    assert peers.silent(5.0, but=9) == {1: 3}
    peers.note({1: 4}, asked=12.0, answered=13.0)
    assert peers.silent(0.1, but=9) == {}


@pytest.mark.parametrize("heartbeat_s", [0.1, 1.0, 5.0, 60.0])
def test_hearts_come_back_before_anybody_takes_their_silence_for_death(heartbeat_s: float) -> None:
    """A beat, an outage too short for the one who judges to have noticed, and the longest wait."""
    settings = Settings(app="a:b", heartbeat_interval_s=heartbeat_s)
    heartbeat = Heartbeat(Node(settings, "", Board.create(1), Wakes.create(1), [], [], 1))
    waits = [retry_s(tries, heartbeat.longest_wait_s, 1.0) for tries in range(20)]
    assert heartbeat_s + LATE * heartbeat_s + max(waits) < settings.heartbeat_stale_s


def test_waits_grow_and_differ() -> None:
    longest_s = 7.5
    waits = [retry_s(tries, longest_s, 0.5) for tries in range(20)]
    assert waits == sorted(waits)
    assert waits[0] == 0.0
    assert retry_s(20, longest_s, 1.0) == longest_s
    assert retry_s(20, 1.0, 0.0) < retry_s(20, 1.0, 1.0) == 1.0
