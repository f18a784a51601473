"""A message that says what has not happened is right: each is provoked, and the database looked into."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from awa import AwaError, Client, DatabaseError, Job, SchemaTooNew, UniqueConflict
from awa.database.schema import chain

KEYED: dict[str, Any] = {"kind": "k", "unique_opts": {"by_args": True}}
RIGHTS = """
    select oid::regclass::text, relacl::text from pg_class where relnamespace = 'awa'::regnamespace
    union all select oid::regprocedure::text, proacl::text from pg_proc where pronamespace = 'awa'::regnamespace
    order by 1"""

Connect = Callable[..., psycopg.Connection[Any]]


@pytest.fixture
def client(database: str) -> Iterator[Client]:
    with Client(database) as made:
        yield made


def kinds(client: Client) -> list[str]:
    """The kinds of all jobs there are, the oldest first."""
    return [job.kind for job in reversed(client.list_jobs())]


def test_over_a_closed_connection_nothing_is_kept(client: Client, connect: Connect) -> None:
    told: list[str] = []

    @client.task(kind="closing")
    def closing(job: Job) -> None:
        lent = connect(autocommit=False)
        client.insert({}, kind="lent", connection=lent)
        lent.close()
        try:
            job.complete(lent)
        except AwaError as error:
            told.append(str(error))

    client.insert({}, kind="closing")
    client.work()
    assert len(told) == 1
    assert told[0].endswith("is closed, and what was done over it is rolled back unless it was committed")
    assert kinds(client) == ["closing"]


def test_roles_that_are_refused_change_nothing(
    client: Client, connection: psycopg.Connection[Any], login: Callable[[str], str]
) -> None:
    client.migrate(roles=True)
    before = connection.execute(RIGHTS).fetchall()
    with (
        Client(login("awa_reader")) as reader,
        pytest.raises(DatabaseError, match=r"may not grant rights .* Nothing was changed\."),
    ):
        reader.migrate(roles=True)
    assert connection.execute(RIGHTS).fetchall() == before


def test_an_old_server_is_left_alone(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "SERVER_VERSION_MIN", 10_000_000)
    with Client(empty_database) as client, pytest.raises(DatabaseError, match="too old: .* Nothing changed"):
        client.migrate()
    with psycopg.connect(empty_database) as connection:
        assert connection.execute("select to_regnamespace('awa')").fetchone() == (None,)


def test_a_newer_schema_is_left_alone(client: Client, connection: psycopg.Connection[Any]) -> None:
    connection.execute("insert into awa.schema_version (version) values (9999)")
    for use in (client.migrate, lambda: client.insert({}, kind="k"), lambda: client.pause_queue("q")):
        with pytest.raises(SchemaTooNew, match="Nothing was changed"):
            use()
    assert connection.execute("select version from awa.schema_version order by 1").fetchall() == [(1,), (9999,)]
    for table in ("job_log", "queue"):
        assert connection.execute(f"select count(*) from awa.{table}".encode()).fetchone() == (0,), table


def test_a_lock_that_is_not_had_changes_nothing(
    client: Client,
    connection: psycopg.Connection[Any],
    connect: Connect,
    login: Callable[[str], str],  # the roles are there
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client.migrate(roles=True)
    before = connection.execute(RIGHTS).fetchall()
    monkeypatch.setattr(chain, "LOCK_WAIT_S", 0.2)
    holder = connect(autocommit=False)
    holder.execute("lock table awa.schema_version in access exclusive mode")
    with pytest.raises(DatabaseError, match="a lock was not to be had .* Nothing was changed in this transaction"):
        client.migrate(roles=True)
    holder.rollback()
    assert connection.execute(RIGHTS).fetchall() == before


def test_a_taken_key_inserts_nothing(client: Client) -> None:
    client.insert({"n": 1}, **KEYED)
    with client.transaction() as tx:
        tx.insert({}, kind="before")
        with pytest.raises(UniqueConflict, match="Nothing was inserted, and the transaction can go on"):
            tx.insert({"n": 1}, **KEYED)
        tx.insert({}, kind="after")
    assert kinds(client) == ["k", "before", "after"]


def test_a_taken_key_of_many_inserts_none(client: Client) -> None:
    client.insert({"n": 1}, **KEYED)
    strict = {"kind": "k", "unique_opts": {"by_args": True, "on_conflict": "error"}}
    with pytest.raises(UniqueConflict, match="Nothing was inserted; with on_conflict"):
        client.insert_many([{"n": 2}, {"n": 1}, {"n": 3}], **strict)
    assert [job.args for job in client.list_jobs()] == [{"n": 1}]
    assert client.insert({"n": 2}, **KEYED).id  # its key has not been kept


def fail(client: Client) -> None:
    """Go on in a transaction after a statement in it has failed."""
    with client.transaction() as tx:
        tx.insert({}, kind="k")
        with pytest.raises(DatabaseError, match="zero"):
            tx.execute("select 1 / 0")


def test_a_failed_transaction_is_rolled_back(client: Client) -> None:
    with pytest.raises(DatabaseError, match="All of it was rolled back"):
        fail(client)
    assert kinds(client) == []
