"""A connection on which nobody waits for an answer for ever."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import psycopg
import pytest

from awa.database.errors import TROUBLE
from awa.database.open import connect
from awa.database.pipeline import pipeline
from awa.database.prepared import OwnConnection
from awa.database.timeout import BoundedConnection, NoAnswer, longer_timeout
from tests.fixtures.tcpproxy import TcpProxy
from tests.fixtures.waiting import until

pytestmark = pytest.mark.postgres

RESPONSE_TIMEOUT_S = 0.5
SLOW_S = 30.0
"""Far more than it should take, far less than for ever."""


@pytest.fixture
def bounded(proxy: TcpProxy) -> Iterator[psycopg.Connection[object]]:
    """A connection whose server has more patience than we: else it may be the one to give up first."""
    with connect(proxy.dsn, role="bounded", response_timeout_s=SLOW_S) as connection:
        assert isinstance(connection, BoundedConnection)
        connection.response_timeout_s = RESPONSE_TIMEOUT_S
        yield connection


def test_a_silent_server_is_not_waited_for(proxy: TcpProxy, bounded: psycopg.Connection[object]) -> None:
    proxy.stall()
    began = monotonic()
    with pytest.raises(NoAnswer, match=r"within 0\.5 s"):
        bounded.execute("select 1")
    assert RESPONSE_TIMEOUT_S <= monotonic() - began < SLOW_S
    assert bounded.closed
    assert issubclass(NoAnswer, TROUBLE)


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
def test_nor_in_the_middle_of_a_pipelined_transaction(
    proxy: TcpProxy, bounded: psycopg.Connection[object], direction: str
) -> None:
    def pipelined() -> None:
        with pipeline(bounded) as trip:
            trip.execute(b"select 1")
            proxy.stall(direction)  # type: ignore[arg-type]

    with pytest.raises(NoAnswer):
        pipelined()
    assert bounded.closed


def test_nor_at_the_end_of_a_transaction(proxy: TcpProxy, bounded: psycopg.Connection[object]) -> None:
    def committed() -> None:
        with bounded.transaction():
            bounded.execute("select 1")
            proxy.stall()

    with pytest.raises(NoAnswer):
        committed()
    with pytest.raises(psycopg.OperationalError, match="closed"):
        bounded.execute("select 1")


def test_nor_for_a_word_at_a_time(proxy: TcpProxy, bounded: psycopg.Connection[object]) -> None:
    """Each part comes soon after the last one, and there is no end to them."""
    proxy.delay(0.02)
    with pytest.raises(NoAnswer):
        bounded.execute("select repeat('x', 1000), pg_sleep(0.01) from generate_series(1, 10000)")


def test_what_we_gave_up_is_ended_in_the_server(database: str, connection: psycopg.Connection[object]) -> None:
    """Else each new try would add another backend that waits for the lock."""
    connection.execute("create table public.t ()")
    blocked = "select count(*) from pg_stat_activity where application_name = 'awa blocked'"
    with connection.transaction():
        connection.execute("lock table public.t")
        for _ in range(3):
            with (
                connect(database, role="blocked", response_timeout_s=RESPONSE_TIMEOUT_S) as bounded,
                pytest.raises(NoAnswer),
            ):
                bounded.execute("select * from public.t")
        until(lambda: connection.execute(blocked).fetchone() == (0,), SLOW_S)


def test_answers_in_time_are_as_ever(bounded: psycopg.Connection[object]) -> None:
    assert bounded.execute("select pg_sleep(0.3), 1").fetchone() == ("", 1)
    with bounded.pipeline():
        both = [bounded.execute("select %s", [number]) for number in (1, 2)]
    assert [each.fetchone() for each in both] == [(1,), (2,)]
    with pytest.raises(psycopg.errors.DivisionByZero):
        bounded.execute("select 1 / 0")
    bounded.execute("listen x")
    bounded.execute("notify x")
    assert [notify.channel for notify in bounded.notifies(timeout=0)] == ["x"]
    assert list(bounded.notifies(timeout=0)) == []
    assert not bounded.closed


def test_with_patience_it_takes_longer(
    bounded: psycopg.Connection[object], connection: psycopg.Connection[object]
) -> None:
    with longer_timeout(bounded, 100):
        bounded.execute("select pg_sleep(0.7)")
    assert isinstance(bounded, BoundedConnection)
    assert bounded.response_timeout_s == RESPONSE_TIMEOUT_S
    with longer_timeout(connection, 100):
        connection.execute("select 1")


def test_who_asks_for_no_limit_has_none(database: str) -> None:
    with connect(database, role="unbounded") as connection:
        assert type(connection) is OwnConnection


@pytest.fixture
def others(database: str) -> Iterator[psycopg.Connection[object]]:
    """A connection that waits for a lease, for a while."""
    with connect(database, role="others") as others:
        others.execute("create table public.lease (id int); insert into public.lease values (1)")
        others.execute("set lock_timeout = '20s'")
        yield others


@pytest.fixture
def ghost(proxy: TcpProxy, others: psycopg.Connection[object]) -> Iterator[psycopg.Connection[object]]:
    """One that will go silent in the middle of a transaction."""
    ghost = connect(proxy.dsn, role="ghost", response_timeout_s=RESPONSE_TIMEOUT_S)
    yield ghost
    ghost.pgconn.finish()


LOCK = b"select * from public.lease for update"


def test_a_transaction_half_said_is_ended_by_the_server(
    proxy: TcpProxy, others: psycopg.Connection[object], ghost: psycopg.Connection[object]
) -> None:
    """Its connection is open at both ends and silent: what it has locked must not stay locked."""
    ghost.execute("begin")
    ghost.execute(LOCK)
    proxy.freeze()
    assert others.execute(LOCK).fetchall() == [(1,)]


def test_also_in_the_middle_of_a_pipeline(
    proxy: TcpProxy, others: psycopg.Connection[object], ghost: psycopg.Connection[object]
) -> None:
    """The server waits for the next message of it, and does not call that idle."""
    if ghost.info.server_version < 170000:
        pytest.skip("this server has no limit for a whole transaction")

    def half_said() -> None:
        with ghost.pipeline() as pipeline:
            ghost.execute("begin")
            pipeline.sync()
            assert ghost.execute(LOCK).fetchall() == [(1,)]  # asks for its rows, and not for the end of anything
            proxy.freeze()

    with pytest.raises(NoAnswer):
        half_said()
    assert others.execute(LOCK).fetchall() == [(1,)]


def test_a_stricter_limit_of_the_user_s_own_stays(database: str) -> None:
    with connect(database, role="owner") as owner:
        owner.execute(f'alter database "{owner.info.dbname}" set idle_in_transaction_session_timeout = 100'.encode())
    with connect(database, role="bounded", response_timeout_s=RESPONSE_TIMEOUT_S) as bounded:
        assert bounded.execute("show idle_in_transaction_session_timeout").fetchone() == ("100ms",)


def test_who_may_need_patience_has_longer_transactions(database: str) -> None:
    with connect(database, role="bounded", response_timeout_s=3, patience_max=2) as bounded:
        assert bounded.execute("show idle_in_transaction_session_timeout").fetchone() == ("3s",)
        if bounded.info.server_version >= 170000:
            assert bounded.execute("show transaction_timeout").fetchone() == ("6s",)


def test_who_repeats_few_statements_has_them_planned_once(database: str) -> None:
    with connect(database, role="worker", plan_once=True) as once, connect(database, role="client") as anew:
        for setting, planned_once in (
            ("plan_cache_mode", "force_generic_plan"),
            ("enable_seqscan", "off"),
            ("enable_bitmapscan", "off"),
            ("jit", "off"),
        ):
            assert once.execute(f"show {setting}".encode()).fetchone() == (planned_once,)
            assert anew.execute(f"show {setting}".encode()).fetchone() != (planned_once,)
