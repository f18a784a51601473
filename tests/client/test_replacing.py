"""`on_conflict="replace"`: a job that nobody has started gets new contents, whatever else is done to it meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from awa import Client, JobState, Snooze, StateConflict, UniqueConflict
from awa.engine import expire
from awa.engine.admin import control
from awa.engine.claim import begin, lanes
from awa.engine.promote import promote
from awa.engine.seal import seal, seal_all
from awa.engine.settle import settle
from tests.engine.helpers import ids_of, outcomes, sign_in, take
from tests.fixtures.waiting import Session, until

Connect = Callable[..., psycopg.Connection[Any]]
Open = Callable[..., Session]
REPLACE = {"by_args": False, "on_conflict": "replace"}
ALL_STATES = 255


def put(client: Client, n: int, connection: psycopg.Connection[Any] | None = None, **options: Any) -> Any:
    """Insert or replace the one job."""
    unique_opts = {**REPLACE, "states": options.pop("states", 0b10011111)}
    return client.insert({"n": n}, kind="mail", unique_opts=unique_opts, connection=connection, **options)


@pytest.fixture
def seen(client: Client) -> list[Any]:
    """The arguments that the task was run with."""
    found: list[Any] = []
    client.task(kind="mail")(lambda job: found.append(job.args))
    return found


def test_replace_gives_a_job_that_waits_the_new_contents(client: Client) -> None:
    seen: list[Any] = []
    client.task(kind="mail")(lambda job: seen.append(job.args))
    options = {"by_args": False, "on_conflict": "replace"}
    first = client.insert({"n": 1}, kind="mail", delay=3600, unique_opts=options)
    later = datetime(2090, 1, 1, tzinfo=timezone.utc)
    second = client.insert({"n": 2}, kind="mail", run_at=later, tags=["new"], unique_opts=options)
    assert (second.id, second.conflict, second.args, second.run_at) == (first.id, "replaced", {"n": 2}, later)
    stored = client.get_job(first.id)
    assert (stored.args, stored.run_at, stored.tags, stored.state) == ({"n": 2}, later, ["new"], JobState.Scheduled)
    assert client.work() == 0
    third = client.insert({"n": 3}, kind="mail", unique_opts=options)
    assert (third.id, third.conflict) == (first.id, "replaced")
    assert client.work() == 1
    assert seen == [{"n": 3}]


def test_a_due_job_replaced_by_a_later_one_is_not_run_before(client: Client) -> None:
    seen: list[Any] = []
    client.task(kind="mail")(lambda job: seen.append(job.args))
    options = {"by_args": False, "on_conflict": "replace"}
    job = client.insert({"n": 1}, kind="mail", unique_opts=options)
    assert client.queue_stats()[0].available == 1  # sealed as due
    client.insert({"n": 2}, kind="mail", delay=3600, unique_opts=options)
    assert client.work() == 0
    assert client.get_job(job.id).state == JobState.Scheduled
    assert client.queue_stats()[0].scheduled == 1
    client.insert({"n": 3}, kind="mail", unique_opts=options)
    assert client.work() == 1
    assert seen == [{"n": 3}]


def test_what_is_being_replaced_is_not_run_with_what_it_said_before(
    client: Client, database: str, connect: Connect
) -> None:
    seen: list[Any] = []
    client.task(kind="mail")(lambda job: seen.append(job.args))
    options = {"by_args": False, "on_conflict": "replace"}
    job = client.insert({"n": 1}, kind="mail", unique_opts=options)
    with connect(autocommit=False) as theirs:
        client.insert({"n": 2}, kind="mail", unique_opts=options, connection=theirs)
        assert client.work() == 0
        assert seen == []
    while client.get_job(job.id).state != JobState.Completed:
        client.work()
    assert seen == [{"n": 2}]


def test_a_key_held_until_the_start_outlives_a_postponement(client: Client, seen: list[Any]) -> None:
    until_started = ["scheduled", "available"]
    job = put(client, 1, states=until_started)
    assert client.queue_stats()[0].available == 1  # sealed as due
    put(client, 2, states=until_started, delay=3600)
    assert client.work() == 0
    again = put(client, 3, states=until_started)
    assert (again.id, again.conflict) == (job.id, "replaced")
    assert client.work() == 1
    assert seen == [{"n": 3}]


def test_a_postponed_job_holds_up_no_line(client: Client, seen: list[Any]) -> None:
    client.configure_queue("default", serial=True, block_on_retry=True)
    put(client, 1, ordering_key="k")
    client.insert({"n": 2}, kind="mail", ordering_key="k")
    assert client.queue_stats()[0].available == 2  # sealed as due
    put(client, 3, ordering_key="k", delay=3600)
    assert client.work() == 1
    assert seen == [{"n": 2}]


def test_a_job_that_was_snoozed_has_been_started(client: Client, connection: psycopg.Connection[Any]) -> None:
    client.task(kind="mail")(lambda job: Snooze(3600))
    put(client, 1)
    assert client.work() == 1
    with pytest.raises(UniqueConflict, match="it has been started"):
        put(client, 2)
    connection.execute("update awa.deferred set run_at = now()")
    assert promote(connection).jobs == 1
    with pytest.raises(UniqueConflict, match="it has been started"):
        put(client, 3)


@pytest.mark.parametrize("where", ["unsealed", "ready", "deferred"])
def test_a_cancel_that_is_not_committed_comes_first(
    client: Client, connection: psycopg.Connection[Any], session: Open, where: str
) -> None:
    """Its job keeps the key, by its mask."""
    job = put(client, 1, states=ALL_STATES, delay=3600 if where == "deferred" else None)
    if where != "unsealed":
        seal_all(connection)
    cancelling, producing = session("cancelling"), session("producing")
    if where == "unsealed":
        seal_all(connection)
    cancelling.run("begin")
    cancelling.run(control.cancel, job.id)
    producing.start(lambda theirs: put(client, 2, theirs, states=ALL_STATES))
    producing.until_blocked()
    cancelling.run("commit")
    with pytest.raises(UniqueConflict):
        producing.result()
    found = client.get_job(job.id)
    assert (found.state, found.args) == (JobState.Cancelled, {"n": 1})


def test_a_cancel_waits_for_who_is_replacing_the_job(
    client: Client, connection: psycopg.Connection[Any], session: Open
) -> None:
    job = put(client, 1)
    seal_all(connection)
    cancelling, producing = session("cancelling"), session("producing")
    producing.run("begin")
    producing.run(lambda theirs: put(client, 2, theirs))
    cancelling.start(control.cancel, job.id)
    cancelling.until_blocked()
    producing.run("commit")
    assert cancelling.result() is False
    found = client.get_job(job.id)
    assert (found.state, found.args) == (JobState.Cancelled, {"n": 2})


def test_a_cancel_waits_only_so_long(
    client: Client, connect: Connect, connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "CANCEL_WAIT_MS", 50)
    job = put(client, 1)
    with connect(autocommit=False) as theirs:
        put(client, 2, theirs)
        with pytest.raises(StateConflict, match="a transaction that is not over is changing it.*try again"):
            control.cancel(connection, job.id)
    assert connection.execute("show lock_timeout").fetchone() == ("0",)
    control.cancel(connection, job.id)


def test_a_time_that_came_nearer_during_a_seal_is_kept(
    client: Client, connect: Connect, connection: psycopg.Connection[Any], seen: list[Any]
) -> None:
    job = put(client, 1, delay=3600)
    soon = datetime.now(timezone.utc) + timedelta(minutes=5)
    with connect(autocommit=False) as theirs:
        put(client, 2, theirs, run_at=soon)
        assert seal(connection).jobs == 1  # it sees the time before
    seal_all(connection)
    assert connection.execute("select run_at from awa.deferred where job_id = %s", [job.id]).fetchone() == (soon,)
    assert connection.execute("select count(*) from awa.job_replaced").fetchone() == (0,)
    put(client, 3)
    promote(connection)
    assert client.work() == 1
    assert seen == [{"n": 3}]


def test_a_seal_does_not_wait_for_a_producer_who_replaces(
    client: Client, connect: Connect, connection: psycopg.Connection[Any]
) -> None:
    expires_at = datetime.now(timezone.utc) + timedelta(hours=1)
    put(client, 1, expires_at=expires_at)
    with connect(autocommit=False) as theirs:
        put(client, 2, theirs, expires_at=expires_at)
        connection.execute("set lock_timeout = '1ms'")
        assert seal(connection).jobs == 1


def test_what_is_being_replaced_does_not_expire_meanwhile(
    client: Client, connect: Connect, connection: psycopg.Connection[Any]
) -> None:
    hour = timedelta(hours=1)
    job = put(client, 1, expires_at=datetime.now(timezone.utc) + hour)
    seal_all(connection)
    connection.execute("update awa.job_log set expires_at = now() - interval '1 s'")
    connection.execute("update awa.job_expiry set expires_at = now() - interval '1 s'")
    with connect(autocommit=False) as theirs:
        put(client, 2, theirs, expires_at=datetime.now(timezone.utc) + hour)
        assert expire.expire(connection) == []
    connection.execute("update awa.job_expiry set expires_at = now() - interval '1 s'")
    assert expire.expire(connection) == []
    assert client.get_job(job.id).state == JobState.Available


def test_jobs_with_keys_are_in_lanes_that_say_so(client: Client, connection: psycopg.Connection[Any]) -> None:
    """Lanes never change: workers read them only now and then."""
    worker = sign_in(connection)
    client.insert({}, kind="mail")
    seal_all(connection)
    known = lanes(connection, ["mail"])
    put(client, 1)
    seal_all(connection)
    client.insert({}, kind="mail")
    seal_all(connection)
    found = {lane.id: lane.is_unique for lane in lanes(connection, ["mail"])}
    leases = take(connection, worker, 10, "mail").leases
    assert [found[lease.lane] for lease in leases] == [False, True, False]
    assert {lease.lane for lease in leases if not found[lease.lane]} == {known[0].id}


def test_a_job_that_a_worker_has_taken_lets_go_of_a_key_it_holds_until_the_start(
    client: Client, connection: psycopg.Connection[Any]
) -> None:
    worker = sign_in(connection)
    until_started = 0b00000011
    first = put(client, 1, states=until_started)
    seal_all(connection)
    assert ids_of(take(connection, worker, 10, "mail")) == [first.id]
    second = put(client, 2, states=until_started)
    assert (second.conflict, second.args) == (None, {"n": 2})
    begin(connection, worker, first.id)
    assert settle(connection, worker, outcomes([first.id])) == {first.id}
    again = put(client, 3, states=until_started)
    assert (again.id, again.conflict) == (second.id, "replaced")


@pytest.mark.parametrize("commits", [True, False])
def test_a_worker_does_not_wait_for_who_takes_a_key_over(
    client: Client, connect: Connect, connection: psycopg.Connection[Any], commits: bool
) -> None:
    worker = sign_in(connection)
    first = put(client, 1, states=0b00000011)
    seal_all(connection)
    take(connection, worker, 10, "mail")
    connection.execute("set lock_timeout = '1ms'")
    theirs = connect(autocommit=False)
    second = put(client, 2, theirs, states=0b00000011)
    begin(connection, worker, first.id)
    assert settle(connection, worker, outcomes([first.id])) == {first.id}
    theirs.commit() if commits else theirs.rollback()
    third = put(client, 3, states=0b00000011)
    assert third.conflict == ("replaced" if commits else None)
    assert (third.id == second.id) is commits


def test_a_line_keeps_its_order_while_its_head_is_being_replaced(
    client: Client, connect: Connect, connection: psycopg.Connection[Any]
) -> None:
    seen: list[Any] = []
    client.task(kind="mail")(lambda job: seen.append(job.args["n"]))
    put(client, 1, ordering_key="k")
    client.insert({"n": 2}, kind="mail", ordering_key="k")
    with connect(autocommit=False) as theirs:
        put(client, 9, theirs, ordering_key="k")
        assert client.work() == 0
        theirs.rollback()
    until(lambda: (client.work() and False) or len(seen) == 2)
    assert seen == [1, 2]


def test_a_seal_waits_for_nobody_who_replaces_the_job_again(
    client: Client, connect: Connect, connection: psycopg.Connection[Any]
) -> None:
    put(client, 1, delay=3600)
    with connect(autocommit=False) as theirs:
        put(client, 2, theirs, delay=3000)
        assert seal(connection).jobs == 1
    with connect(autocommit=False) as theirs:
        soon = put(client, 3, theirs, delay=2000)
        line = client.insert({}, kind="mail", ordering_key="k")
        connection.execute("set lock_timeout = '1ms'")
        seal_all(connection)
        assert ids_of(take(connection, sign_in(connection), 10, "mail")) == [line.id]
    seal_all(connection)
    row = connection.execute("select run_at from awa.deferred where job_id = %s", [soon.id]).fetchone()
    assert row == (soon.run_at,)
    assert connection.execute("select count(*) from awa.job_replaced").fetchone() == (0,)


def test_replacing_again_and_again_leaves_no_trail(client: Client, connection: psycopg.Connection[Any]) -> None:
    now = datetime.now(timezone.utc)
    for n in range(5):
        put(client, n, expires_at=now + timedelta(hours=n + 1))
        seal_all(connection)
    assert connection.execute("select count(*) from awa.job_expiry").fetchone() == (1,)
