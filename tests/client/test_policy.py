"""Tasks' policies and jobs' own limits, from the decorator to what becomes of the job."""

from __future__ import annotations

import itertools
from datetime import datetime, timezone
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from awa import Client, JobState, ValidationError
from awa.backoff import constant
from tests.client.kinds import Colour, DataOrder, SendEmail
from tests.client.test_work import make_due, soon


class Lost(OSError):
    pass


def fails_with(*errors: BaseException) -> Any:
    given = iter(errors)

    def handler(job: Any) -> str:
        for error in itertools.islice(given, 1):
            raise error
        return "done"

    return handler


def test_attempts_left_out_are_those_of_the_task_here(client: Client) -> None:
    client.task(SendEmail, max_attempts=3)(print)
    client.task(kind="plain")(print)
    with client.transaction() as tx:
        jobs = [tx.insert(SendEmail("a")), tx.insert({}, kind="send_email")]
        bulk = tx.insert_many([SendEmail("b")]).ids
    assert [job.max_attempts for job in jobs] == [3, 3]
    assert [client.get_job(job).max_attempts for job in bulk] == [3]
    assert [job.max_attempts for job in client.insert_many_copy([SendEmail("c"), SendEmail("d")])] == [3, 3]
    assert client.insert(SendEmail("e"), max_attempts=7).max_attempts == 7
    assert client.insert_many_copy([SendEmail("f")], max_attempts=7)[0].max_attempts == 7
    assert client.insert({}, kind="plain").max_attempts == 25
    assert client.insert({}, kind="nobody knows").max_attempts == 25


def test_attempts_left_open_are_those_of_the_task_that_runs_them(
    client: Client, database: str, connection: psycopg.Connection[Any]
) -> None:
    """A process that knows the kind's name alone: by a client, in a transaction, in bulk, and in SQL."""

    @client.task(kind="once", max_attempts=1)
    def once(job: Any) -> None:
        assert job.max_attempts == (2 if job.args else 1)
        raise Lost("gone")

    with Client(database) as web:
        first = web.insert({}, kind="once")
        assert first.max_attempts == 25  # no worker has told
        with web.transaction() as tx:
            jobs = [first.id, tx.insert({}, kind="once").id, *tx.insert_many([{}], kind="once").ids]
        jobs += [job.id for job in web.insert_many_copy([{}], kind="once", unique_opts={"by_args": True})]
        jobs += [row[0] for row in connection.execute("select (awa.insert_job('once')).id")]
        jobs += [row[0] for row in connection.execute("select (awa.insert_job_compat('once')).id")]
        jobs += [row[0] for row in connection.execute('select id from awa.insert_jobs(\'[{"kind": "once"}]\')')]
        own = web.insert({"own": 1}, kind="once", max_attempts=2)
        client.work()
        assert {(web.get_job(job).state, web.get_job(job).max_attempts) for job in jobs} == {(JobState.Failed, 1)}
        assert (web.get_job(own.id).state, web.get_job(own.id).max_attempts) == (JobState.Retryable, 2)
        assert web.insert({}, kind="once").max_attempts == 1  # it has told
        assert web.list_jobs(kind="once", limit=1)[0].max_attempts == 1


def test_jobs_of_several_kinds_in_one_bulk_have_each_their_own(client: Client) -> None:
    client.task(SendEmail, max_attempts=3)(print)
    client.task(DataOrder, max_attempts=5)(print)
    order = DataOrder(uuid4(), datetime(2030, 1, 1, tzinfo=timezone.utc), Colour.RED)
    jobs = client.insert_many_copy([SendEmail("a"), order, SendEmail("b"), order], timeout=2)
    assert [(job.max_attempts, job.timeout) for job in jobs] == [(3, 2), (5, 2), (3, 2), (5, 2)]
    assert [client.get_job(job.id) for job in jobs] == jobs


@pytest.mark.parametrize(("given", "stored"), [(None, None), (0, 0.0), (0.0001, 0.001), (1.5, 1.5), (86_400, 86_400.0)])
def test_a_jobs_own_time_limit_is_stored_and_shown(client: Client, given: float | None, stored: float | None) -> None:
    seen: list[Any] = []
    client.task(kind="k", timeout=60)(lambda job: seen.append(job.timeout))
    with client.transaction() as tx:
        inside = [tx.insert({}, kind="k", timeout=given).id, *tx.insert_many([{}], kind="k", timeout=given).ids]
    alone = client.insert({}, kind="k", timeout=given)
    (copied,) = client.insert_many_copy([{}], kind="k", timeout=given)
    (many,) = client.insert_many([{}], kind="k", timeout=given).ids
    assert client.enqueue_many_copy([{}], kind="k", timeout=given) == 1
    assert alone.timeout == copied.timeout == stored
    assert [client.get_job(job).timeout for job in (*inside, alone.id, copied.id, many)] == [stored] * 5
    assert client.work() == 6
    assert seen == [stored] * 6


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), 1e9, "5", True, datetime.now(timezone.utc)])
def test_a_time_limit_that_means_nothing_is_refused_before_anything_is_sent(timeout: Any) -> None:
    client = Client("postgresql://nobody@127.0.0.1:1/nowhere")
    with pytest.raises(ValidationError, match="timeout is .*; it must be a number of seconds from 0 to"):
        client.insert({}, kind="dict", timeout=timeout)
    with pytest.raises(ValidationError, match="timeout is"):
        client.insert_many([{}], kind="dict", timeout=timeout)


def test_the_decorator_refuses_where_it_stands(client: Client) -> None:
    with pytest.raises(ValidationError, match="grace is -1"):
        client.task(SendEmail, grace=-1)
    with pytest.raises(TypeError, match="timout"):
        client.task(SendEmail, timout=1)  # type: ignore[call-arg]
    assert len(client.registry) == 0


def test_only_these_are_retried(client: Client, connection: psycopg.Connection[Any]) -> None:
    client.task(kind="picky", retry_on=OSError, give_up_on=[Lost])(fails_with(OSError("away"), ValueError("bad")))
    job = client.insert({}, kind="picky")
    client.work()
    assert client.get_job(job.id).state is JobState.Retryable
    make_due(connection, job)
    client.work()
    failed = client.get_job(job.id)
    assert (failed.state, failed.attempt, failed.max_attempts) == (JobState.Failed, 2, 25)
    assert [error.get("terminal", False) for error in failed.errors] == [False, True]


def test_these_fail_at_once(client: Client) -> None:
    client.task(kind="picky", retry_on=OSError, give_up_on=[Lost])(fails_with(Lost("for good")))
    job = client.insert({}, kind="picky")
    client.work()
    failed = client.get_job(job.id)
    assert (failed.state, failed.attempt, failed.errors[0]["terminal"]) == (JobState.Failed, 1, True)


@pytest.mark.parametrize(
    ("backoff", "seconds"), [(constant(3600), 3600), ("linear", 10), (lambda attempt: 600 * attempt, 600)]
)
def test_the_next_attempt_is_due_after_the_backoff(client: Client, backoff: Any, seconds: float) -> None:
    client.task(kind="slow", backoff=backoff)(fails_with(OSError("away")))
    job = client.insert({}, kind="slow")
    client.work()
    later = client.get_job(job.id)
    assert later.state is JobState.Retryable
    assert soon(later, seconds)


def test_a_backoff_of_nothing_runs_again_at_once(client: Client) -> None:
    client.task(kind="eager", backoff=constant(0))(fails_with(OSError("away"), OSError("away")))
    job = client.insert({}, kind="eager")
    assert client.work() == 3
    done = client.get_job(job.id)
    assert (done.state, done.attempt, done.result) == (JobState.Completed, 3, "done")


def test_a_backoff_that_raises_is_told_with_the_error(client: Client) -> None:
    client.task(kind="broken", backoff=lambda attempt: 1 / 0)(fails_with(OSError("away")))
    job = client.insert({}, kind="broken")
    client.work()
    later = client.get_job(job.id)
    assert later.state is JobState.Retryable
    assert soon(later, 2.25)
    assert later.errors[0]["error"].startswith("OSError: away\n")
    assert later.errors[0]["backoff"].endswith("ZeroDivisionError: division by zero")


def test_what_led_to_an_error_is_stored_with_it(client: Client) -> None:
    def handler(job: Any) -> None:
        try:
            {}["customer"]
        except KeyError as error:
            raise ValueError("no such order\0") from error

    client.task(kind="chained")(handler)
    job = client.insert({}, kind="chained", max_attempts=1)
    client.work()
    (error,) = client.get_job(job.id).errors
    assert error["type"] == "ValueError"
    assert error["error"].startswith("ValueError: no such order\\x00\n")
    assert "\ncaused by KeyError: 'customer'\n" in error["error"]
    (attempt,) = client.attempts(job.id)
    assert attempt["error"] == error
    assert attempt["started_at"] < attempt["finished_at"]
    assert isinstance(attempt["worker"], int)
