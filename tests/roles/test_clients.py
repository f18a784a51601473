"""The client and plain SQL, as a member of each role."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from awa import Client, DatabaseError, JobState, UniqueConflict
from awa.database.schema import roles

Login = Callable[[str], str]
Connect = Callable[..., psycopg.Connection[Any]]

TABLES = """
    select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where nspname = 'awa' and relkind in ('r', 'p', 'v', 'S') order by 1"""


def refused(connection: psycopg.Connection[Any], sql: str) -> bool:
    try:
        connection.execute(sql.encode())
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


def test_a_producer_inserts_with_all_options(login: Login, database: str) -> None:
    with Client(login("awa_producer")) as client, Client(database) as owner:
        job = client.insert({"n": 1}, kind="greet", unique_opts={"by_args": True}, ordering_key="k", delay=60)
        assert (job.kind, job.state, job.args) == ("greet", JobState.Scheduled, {"n": 1})
        with pytest.raises(UniqueConflict) as conflict:
            client.insert({"n": 1}, kind="greet", unique_opts={"by_args": True})
        assert conflict.value.job_id == job.id
        same = client.insert({"n": 1}, kind="greet", unique_opts={"by_args": True, "on_conflict": "skip"})
        assert same.id == job.id
        with client.transaction() as tx:
            tx.insert({"n": 2}, kind="greet")
        assert owner.get_job(job.id).queue == "default"
        assert len(owner.list_jobs()) == 2


def test_a_producer_inserts_many(login: Login, database: str) -> None:
    with Client(login("awa_producer")) as client, Client(database) as owner:
        found = client.insert_many(({"n": n} for n in range(3000)), kind="greet")
        assert found.inserted == 3000
        assert client.enqueue_many_copy([{"n": 0}], kind="greet") == 1
        assert owner.list_jobs(limit=1)[0].args == {"n": 0}
        assert sum(stat.available for stat in owner.queue_stats()) == 3001


def test_a_producer_sees_nothing_and_steers_nothing(login: Login, connect: Connect) -> None:
    connection = connect(login("awa_producer"))
    tables = [name for (name,) in connection.execute(TABLES) if name != "awa.schema_version"]
    assert len(tables) > 20
    assert [name for name in tables if not refused(connection, f"table {name}")] == []
    for call in (
        "awa.extend_log(1000, 1)",
        "awa.drop_segment(1, '{}')",
        "awa.check_job('k'" + ", null" * 14 + ")",
    ):
        assert refused(connection, f"select {call}"), call
    assert refused(connection, "select nextval('awa.job_id')")
    assert refused(connection, "create table awa.mine ()")
    assert connection.execute("select awa.contract_version()").fetchone() == (1,)
    with Client(login("awa_producer")) as client:
        job = client.insert({}, kind="greet")
        for call in (client.get_job, client.cancel, client.retry):
            with pytest.raises(DatabaseError, match="permission denied"):
                call(job.id)
        with pytest.raises(DatabaseError, match="permission denied"):
            client.pause_queue("default")


def test_a_reader_sees_everything(login: Login, database: str) -> None:
    with Client(login("awa_reader")) as client, Client(database) as owner:

        @owner.task(kind="greet")
        def greet(job: Any) -> str:
            return "hello"

        done = owner.insert({}, kind="greet")
        assert owner.work() == 1
        bad = owner.insert({}, kind="other", delay=60)
        due = owner.insert({}, kind="other")
        assert client.get_job(done.id).result == "hello"
        assert client.attempts(done.id)[0]["outcome"] == "completed"
        assert client.list_jobs(state="completed")[0].id == done.id
        assert {job.id for job in client.list_jobs()} == {done.id, bad.id, due.id}
        # It cannot seal, and sees all the same what is not sealed.
        assert client.list_jobs(state="scheduled")[0].id == bad.id
        assert owner.list_jobs(state="scheduled")[0].id == bad.id
        assert client.list_jobs(state="scheduled")[0].id == bad.id
        assert [(stat.queue, stat.available) for stat in client.queue_stats()] == [("default", 1)]
        assert client.worker_deaths() == []
        assert (client.list_dlq(), client.dlq_depth(), client.dlq_depth_by_queue()) == ([], 0, [])
        assert client.queue_policy("default") == owner.queue_policy("default")
        assert client.wait(done.id).id == done.id


def test_a_reader_changes_nothing(login: Login, database: str, connect: Connect) -> None:
    with Client(login("awa_reader")) as client, Client(database) as owner:
        job = owner.insert({}, kind="greet")
        owner.list_jobs(state="available")
        refusals: list[Callable[[], Any]] = [
            lambda: client.insert({}, kind="greet"),
            lambda: client.insert_many([{}], kind="greet"),
            lambda: client.cancel(job.id),
            lambda: client.retry(job.id),
            lambda: client.pause_queue("default"),
            lambda: client.configure_queue("default", dlq=True),
            lambda: client.discard_failed("greet"),
            lambda: client.work(["default"]),
        ]
        for number, call in enumerate(refusals):
            with pytest.raises(DatabaseError, match="permission denied"):
                call()
            assert owner.get_job(job.id).state == JobState.Available, number


def test_a_worker_does_not_steer(login: Login, database: str, connect: Connect) -> None:
    connection = connect(login("awa_worker"))
    for sql in (
        "update awa.job_log set args = '{}'",
        "update awa.job_archive set args = '{}'",
        "update awa.queue set dlq = true",
        "update awa.schema_version set version = 7",
        "insert into awa.job_log (kind) values ('k')",
        "truncate awa.batch",
        "create table awa.mine ()",
        "select setval('awa.job_id', 1)",
    ):
        assert refused(connection, sql), sql
    with Client(login("awa_worker")) as client:
        client.insert({}, kind="greet")
        with pytest.raises(DatabaseError, match="permission denied"):
            client.pause_queue("default")
        with pytest.raises(DatabaseError, match="permission denied"):
            client.configure_queue("default", serial=True)


def test_an_admin_steers(login: Login, database: str) -> None:
    with Client(login("awa_admin")) as client:

        @client.task(kind="break", max_attempts=1)
        def broken(job: Any) -> None:
            raise ValueError("it broke")

        client.configure_queue("default", dlq=True, serial=True)
        client.pause_queue("default", "me")
        client.resume_queue("default")
        keyed = {"unique_opts": {"by_args": True, "states": 0b00011111}, "ordering_key": "k"}
        failed, cancelled = (
            client.insert({"n": 1}, kind="break", **keyed),
            client.insert({"n": 2}, kind="break", **keyed),
        )
        assert client.cancel(cancelled.id).state == JobState.Cancelled
        assert client.retry(cancelled.id).state != JobState.Cancelled
        assert client.work() == 2
        assert client.dlq_depth() == 2
        assert client.retry_from_dlq(failed.id, queue="other", priority=1) is not None
        assert client.work(["other"]) == 1
        assert client.purge_dlq_job(cancelled.id)
        assert client.insert_many([{"n": 3}, {"n": 3}], kind="break", unique_opts={"by_args": True}).inserted == 1
        with pytest.raises(DatabaseError, match="may not grant rights on the schema awa"):
            client.migrate(roles=True)


def test_nobody_but_the_owner_migrates(login: Login, connect: Connect) -> None:
    for role in roles.NAMES:
        connection = connect(login(role))
        assert refused(connection, "create function awa.mine() returns int language sql as 'select 1'")
        assert refused(connection, "drop view awa.jobs"), role
        assert refused(connection, "insert into awa.schema_version values (9)"), role


def test_a_stranger_may_do_nothing(login: Login, connect: Connect, database: str) -> None:
    """What is granted to everybody is nothing: a role that is a member of none of ours."""
    login("awa_reader")
    connection = connect(database)
    row = connection.execute(
        """select bool_or(has_schema_privilege('public', 'awa', 'usage')),
                  (select array_agg(p.oid::regproc::text order by 1) from pg_proc p
                   where pronamespace = 'awa'::regnamespace and has_function_privilege('public', p.oid, 'execute'))"""
    ).fetchone()
    assert row == (False, ["awa.ageing"])


def test_a_producer_reads_and_changes_no_job_of_others_by_its_unique_key(login: Login, database: str) -> None:
    unique = {"by_args": ["n"]}
    with Client(login("awa_producer")) as client, Client(database) as owner, psycopg.connect(database) as db:
        job = owner.insert({"n": 1, "secret": "x"}, kind="pay", tags=["t"], metadata={"m": 1}, unique_opts=unique)
        found = client.insert({"n": 1}, kind="pay", unique_opts={**unique, "on_conflict": "skip"})
        assert (found.id, found.conflict, found.state) == (job.id, "skipped", JobState.Available)
        assert (found.args, found.tags, found.metadata) == (None, [], {})
        call = """select (j).outcome, (j).id, (j).args, (j).kind from (select awa.insert_job(%s, unique_key => %s,
                  opts => '{"on_conflict": "replace"}') as j) called"""
        with psycopg.connect(login("awa_producer"), autocommit=True) as producer:
            assert producer.execute(call, ["other", job.unique_key]).fetchone() == ("existing", job.id, None, None)
            assert owner.get_job(job.id).args == {"n": 1, "secret": "x"}
            assert producer.execute(call, ["pay", job.unique_key]).fetchone() == ("replaced", job.id, None, None)
        assert owner.get_job(job.id).args == {}
        assert db.execute(call, ["pay", job.unique_key]).fetchone() == ("replaced", job.id, {}, "pay")
