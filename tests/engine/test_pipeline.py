"""Several statements in one round trip and one transaction: over connections of ours, and of others."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread, Timer
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from awa.database.open import connect
from awa.database.pipeline import execute_prepared, pipeline
from awa.database.prepared import Message, OwnConnection
from tests.engine.helpers import Connection
from tests.fixtures.waiting import until_blocked

pytestmark = pytest.mark.postgres

A_NUMBER = b"select %(number)s::int"


@pytest.fixture
def ours(database: str) -> Iterator[Connection]:
    with connect(database, role="ours") as connection:
        assert type(connection) is OwnConnection
        yield connection


@pytest.fixture(params=["ours", "theirs", "pooled"])
def connection(request: pytest.FixtureRequest, database: str) -> Iterator[Connection]:
    """One of ours, one that somebody else has made, one of ours where nothing can be prepared."""
    if request.param == "theirs":
        with psycopg.connect(database, autocommit=True) as theirs:
            yield theirs
        return
    with connect(database, role="ours") as connection:
        if request.param == "pooled":
            connection.prepare_threshold = None
        yield connection


def waits(connection: psycopg.Connection[object], tmp_path: Path, do: Callable[[], object]) -> int:
    """How many times the server is told to say where it stands, and waited for, while something is done."""
    with (tmp_path / "trace").open("w+b") as file:
        connection.pgconn.trace(file.fileno())
        do()
        connection.pgconn.untrace()
        os.fsync(file.fileno())
        file.seek(0)
        return sum(b"\tReadyForQuery\t" in line for line in file)


def two(connection: psycopg.Connection[object]) -> list[object]:
    with pipeline(connection) as pipe:
        answers = [pipe.execute(A_NUMBER, {"number": number}, prepare=True) for number in (1, 2)]
    return [answer.fetchone() for answer in answers]


def test_it_is_one_trip(connection: Connection, tmp_path: Path) -> None:
    assert waits(connection, tmp_path, lambda: connection.execute("select 1")) == 1
    assert waits(connection, tmp_path, lambda: two(connection)) == 1
    assert two(connection) == [(1,), (2,)]
    assert waits(connection, tmp_path, lambda: two(connection)) == 1


def test_nothing_to_say_is_said_to_nobody(ours: Connection, tmp_path: Path) -> None:
    def nothing() -> None:
        with pipeline(ours):
            pass

    assert waits(ours, tmp_path, nothing) == 0


def test_it_is_one_transaction(connection: Connection) -> None:
    with pipeline(connection) as pipe:
        answers = [pipe.execute(b"select pg_current_xact_id(), current_setting('transaction_isolation')") for _ in "ab"]
    assert answers[0].fetchone() == (again := answers[1].fetchone())
    assert again is not None
    assert again[1] == "read committed"


def test_of_its_own_whatever_transactions_of_the_session_are_like(database: str, db: Connection) -> None:
    db.execute(
        "do $$ begin execute format('alter database %I set default_transaction_isolation = serializable', "
        "current_database()); end $$"
    )
    with connect(database, role="ours") as ours:
        test_it_is_one_transaction(ours)


def test_also_where_what_is_set_for_the_session_may_be_lost(database: str) -> None:
    """Behind a pooler the next transaction may be another session's, with the database's own defaults."""
    with connect(database, role="ours") as ours:
        ours.prepare_threshold = None
        ours.execute("set default_transaction_isolation = serializable")
        test_it_is_one_transaction(ours)


def test_each_statement_sees_what_others_have_committed_meanwhile(connection: Connection, db: Connection) -> None:
    db.execute("create table public.seen (id int)")
    db.execute("select pg_advisory_lock(7)")
    pid = connection.info.backend_pid

    def let_go() -> None:
        until_blocked(db, pid)
        db.execute("insert into public.seen values (1)")
        db.execute("select pg_advisory_unlock(7)")

    thread = Thread(target=let_go)
    thread.start()
    with pipeline(connection) as pipe:
        first = pipe.execute(b"select count(*) from public.seen")
        pipe.execute(b"select pg_advisory_xact_lock(7)")
        after = pipe.execute(b"select count(*) from public.seen")
    thread.join()
    assert first.fetchone() == (0,)
    assert after.fetchone() == (1,)


@pytest.mark.parametrize("prepare", [True, None])
@pytest.mark.parametrize("statement", ["select 1 / 0", "select nothing"])
def test_what_the_server_refuses_undoes_all_of_it(connection: Connection, statement: str, prepare: bool | None) -> None:
    connection.execute("create temporary table kept (id int)")

    def refused() -> None:
        with pipeline(connection) as pipe:
            pipe.execute(b"insert into kept values (1)", prepare=prepare)
            pipe.execute(statement.encode(), prepare=prepare)
            pipe.execute(b"insert into kept values (2)", prepare=prepare)

    for _ in range(7):  # as often as makes the driver prepare it
        with pytest.raises(psycopg.errors.ProgrammingError if "nothing" in statement else psycopg.DataError):
            refused()
        assert connection.info.transaction_status == TransactionStatus.IDLE
    assert connection.execute("select * from kept").fetchall() == []
    assert two(connection) == [(1,), (2,)]


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_so_does_an_exception_in_the_block(connection: Connection, error: type[BaseException]) -> None:
    connection.execute("create temporary table kept (id int)")

    def interrupted() -> None:
        with pipeline(connection) as pipe:
            pipe.execute(b"insert into kept values (1)")
            raise error

    with pytest.raises(error):
        interrupted()
    assert connection.info.transaction_status == TransactionStatus.IDLE
    assert connection.execute("select * from kept").fetchall() == []


@pytest.mark.parametrize("statements", [1, 2])
def test_ctrl_c_stops_it_and_leaves_the_connection_as_it_was(ours: Connection, statements: int) -> None:
    ours.execute("create temporary table kept (id int)")

    def interrupted() -> None:
        interrupt = Timer(0.3, os.kill, [os.getpid(), signal.SIGINT])
        interrupt.start()
        try:
            with pipeline(ours) as pipe:
                for _ in range(statements):
                    pipe.execute(b"insert into kept select 1 from pg_sleep(60)", prepare=True)
        finally:
            interrupt.join()

    for _ in range(2):  # prepared by then
        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert not ours.closed
        assert ours.execute("select * from kept").fetchall() == []
        assert two(ours) == [(1,), (2,)]


class Signalled:
    """In the place of a connection's libpq until a signal comes, right after something has been called."""

    def __init__(self, connection: Connection, after: str) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._after = after
        connection.pgconn = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._pgconn, name)
        return self._interrupted(found) if name == self._after else found

    def _interrupted(self, function: Callable[..., None]) -> Callable[..., None]:
        def call(*args: Any, **options: Any) -> None:
            function(*args, **options)
            self._connection.pgconn = self._pgconn
            raise TimeoutError

        return call


@pytest.mark.parametrize("after", ["enter_pipeline_mode", "send_prepare", "pipeline_sync"])
def test_a_signal_at_any_point_leaves_it_ready_or_closed(ours: Connection, after: str) -> None:
    Signalled(ours, after)
    with pytest.raises(TimeoutError):
        two(ours)
    if after == "enter_pipeline_mode":
        assert two(ours) == [(1,), (2,)]
    else:
        assert ours.closed


def test_also_when_all_has_been_said(ours: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    wait = ours.wait

    def interrupted(generator: Any) -> None:
        wait(generator)
        raise TimeoutError

    monkeypatch.setattr(ours, "wait", interrupted)
    with pytest.raises(TimeoutError):
        two(ours)
    monkeypatch.undo()
    assert two(ours) == [(1,), (2,)]


def test_what_fails_as_it_is_committed_is_an_error(connection: Connection) -> None:
    connection.execute("create temporary table kept (id int primary key deferrable initially deferred)")

    def twice() -> None:
        with pipeline(connection) as pipe:
            pipe.execute(b"insert into kept values (1)")
            pipe.execute(b"insert into kept values (1)")

    for _ in range(2):
        with pytest.raises(psycopg.errors.UniqueViolation):
            twice()
        assert connection.execute("select * from kept").fetchall() == []
        assert two(connection) == [(1,), (2,)]


def test_a_connection_that_is_lost_says_so(connection: Connection) -> None:
    def lost() -> None:
        with pipeline(connection) as pipe:
            pipe.execute(b"select pg_terminate_backend(pg_backend_pid())")
            pipe.execute(b"select 1")

    with pytest.raises(psycopg.OperationalError):
        lost()
    assert connection.closed
    with pytest.raises(psycopg.OperationalError):
        two(connection)


@pytest.mark.parametrize("autocommit", [False, True])
def test_in_a_transaction_of_the_callers_it_is_refused(database: str, db: Connection, autocommit: bool) -> None:
    db.execute("create table public.kept (id int)")
    with psycopg.connect(database, autocommit=autocommit) as callers:
        callers.execute("begin" if autocommit else "select 1")
        with pytest.raises(psycopg.ProgrammingError, match="INTRANS"), pipeline(callers) as pipe:
            pipe.execute(b"insert into public.kept values (1)")
        assert callers.info.transaction_status == TransactionStatus.INTRANS
        callers.rollback()
    assert db.execute("select * from public.kept").fetchall() == []


def test_where_transactions_begin_by_themselves_it_is_one_of_its_own(database: str, db: Connection) -> None:
    db.execute("create table public.kept (id int)")
    with psycopg.connect(database) as callers:
        with pipeline(callers) as pipe:
            pipe.execute(b"insert into public.kept values (1)")
        assert callers.info.transaction_status == TransactionStatus.IDLE
        assert db.execute("select * from public.kept").fetchall() == [(1,)]


# ---------------------------------------------------------------- statements that are repeated


def test_a_repeated_statement_is_sent_once_and_then_by_its_name(ours: Connection, tmp_path: Path) -> None:
    for number in range(3):
        assert execute_prepared(ours, A_NUMBER, {"number": number}).fetchall() == [(number,)]
    assert ours.execute("select statement from pg_prepared_statements").fetchall() == [("select $1::int",)]
    assert waits(ours, tmp_path, lambda: execute_prepared(ours, A_NUMBER, {"number": 3})) == 1


def test_values_arrive_as_they_were(connection: Connection) -> None:
    sql = (
        b"select %(text)s::text, %(whole)s::bigint, %(part)s::float8, %(yes)s::bool, %(none)s::text is null, 7 %% 4, "
        b"%(text)s::text"
    )
    given = {"text": "ā \\ ' \" $1 %s \U0001f30a", "whole": -(2**63), "part": 0.1, "yes": False, "none": None}
    expected = (given["text"], -(2**63), 0.1, False, True, 3, given["text"])
    assert execute_prepared(connection, sql, given).fetchone() == expected
    assert execute_prepared(connection, sql, given, binary=True).fetchone() == expected


def test_a_text_with_a_nul_is_refused_and_not_cut_off(connection: Connection) -> None:
    with pytest.raises(psycopg.DataError, match="NUL"):
        execute_prepared(connection, b"select %(text)s::text", {"text": "a\0b"})
    assert two(connection) == [(1,), (2,)]


def test_a_parameter_of_another_type_is_a_mistake_of_ours(ours: Connection) -> None:
    with pytest.raises(TypeError, match="number is of type list"):
        execute_prepared(ours, A_NUMBER, {"number": [1]})
    assert two(ours) == [(1,), (2,)]


def test_an_answer_says_how_many_rows_there_were(connection: Connection) -> None:
    connection.execute("create temporary table kept (id int)")
    added = execute_prepared(connection, b"insert into kept select generate_series(1, %(number)s::int)", {"number": 3})
    assert added.rowcount == 3
    found = execute_prepared(connection, b"select id from kept where id > %(number)s order by id", {"number": 1})
    assert (found.rowcount, found.fetchone(), list(found), found.fetchone()) == (2, (2,), [(3,)], None)


def test_whoever_deallocates_what_we_have_prepared_does_no_harm(ours: Connection) -> None:
    """A client lends its connections to transactions of the application's."""
    for said in ("deallocate all", "discard all"):
        assert two(ours) == [(1,), (2,)]
        assert execute_prepared(ours, b"select %(number)s::int + 1", {"number": 1}).fetchone() == (2,)
        ours.execute(said)
        assert execute_prepared(ours, b"select %(number)s::int + 1", {"number": 1}).fetchone() == (2,)
        assert two(ours) == [(1,), (2,)]


def test_whoever_changes_what_a_statement_returns_does_no_harm(ours: Connection) -> None:
    """A new release's migration may change a function, while an old one's connections live on."""
    look = b"select * from seen where id >= %(number)s"
    ours.execute("create temporary table seen (id int)")
    ours.execute("insert into seen values (1)")
    assert execute_prepared(ours, look, {"number": 1}).fetchall() == [(1,)]
    ours.execute("alter table seen add more text default 'x'")
    assert execute_prepared(ours, look, {"number": 1}).fetchall() == [(1, "x")]
    ours.execute("alter table seen drop more")
    with pipeline(ours) as pipe:
        answer = pipe.execute(look, {"number": 1}, prepare=True)
    assert answer.fetchall() == [(1,)]


def test_texts_are_right_in_whatever_encoding_the_session_has(ours: Connection) -> None:
    for encoding in ("latin1", "utf8"):
        ours.execute(f"set client_encoding = {encoding}")
        for _ in range(2):
            assert execute_prepared(
                ours, b"select %(text)s::text, length(%(text)s::text)", {"text": "é"}
            ).fetchone() == ("é", 1)


def test_in_a_transaction_it_is_a_part_of_that(ours: Connection) -> None:
    ours.execute("create temporary table kept (id int)")
    insert = b"insert into kept values (%(number)s)"
    execute_prepared(ours, insert, {"number": 1})
    with ours.transaction(force_rollback=True):
        execute_prepared(ours, insert, {"number": 2})
    assert ours.execute("select id from kept").fetchall() == [(1,)]


def test_something_else_is_done_while_the_server_works(ours: Connection) -> None:
    assert isinstance(ours, OwnConnection)
    done: list[str] = []

    def do() -> None:
        assert ours.info.transaction_status == TransactionStatus.ACTIVE
        done.append("read")

    with ours.transaction():
        answer = ours.execute_overlapped(Message(b"select %(number)s::int, pg_sleep(0.05)", {"number": 7}), do)
        assert answer.fetchone() == (7, "")
    assert done == ["read"]
    with pytest.raises(psycopg.errors.DivisionByZero), ours.transaction():
        ours.execute_overlapped(Message(b"select 1 / %(number)s::int", {"number": 0}), do)
    assert two(ours) == [(1,), (2,)]


def test_where_that_is_interrupted_the_connection_is_given_up(ours: Connection) -> None:
    assert isinstance(ours, OwnConnection)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ours.execute_overlapped(Message(A_NUMBER, {"number": 7}), interrupted)
    assert ours.closed


def test_notifications_that_come_with_an_answer_are_kept(ours: Connection) -> None:
    """The listener listens on a connection over which it also seals."""
    ours.execute("listen x")
    with pipeline(ours) as pipe:
        pipe.execute(b"select pg_notify('x', 'a')")
        pipe.execute(A_NUMBER, {"number": 1}, prepare=True)
    execute_prepared(ours, b"select pg_notify('x', %(text)s)", {"text": "b"})
    assert [notify.payload for notify in ours.notifies(timeout=0)] == ["a", "b"]
