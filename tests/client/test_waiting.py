"""Waiting for jobs, for one or for many."""

from __future__ import annotations

import logging
from typing import Any

import psycopg
import pytest

from awa import Client, JobNotFound, SerializationError
from awa.client import jobs
from awa.engine.promote import promote

pytestmark = pytest.mark.postgres


def double(job: Any) -> int:
    return 2 * int(job.args["n"])


def fail(job: Any) -> None:
    raise ValueError("no such file")


def test_many_are_waited_for_in_the_order_they_are_given(client: Client) -> None:
    client.task(kind="double")(double)
    ids = list(client.insert_many([{"n": n} for n in range(1_200)], kind="double"))
    client.work()
    asked = [*reversed(ids), ids[0]]
    found = client.wait_all(asked, timeout=0)
    assert [job.id for job in found] == asked
    assert [job.result for job in found] == [*(2 * n for n in reversed(range(1_200))), 0]
    assert client.wait_all([]) == []


def test_so_many_are_looked_at_in_one_query(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    client.task(kind="double")(double)
    ids = list(client.insert_many([{"n": n} for n in range(1_200)], kind="double"))
    client.work()
    looks: list[int] = []
    look = Client._jobs
    monkeypatch.setattr(Client, "_jobs", lambda self, ids: looks.append(len(ids)) or look(self, ids))
    client.wait_all(ids)
    assert looks == [500, 500, 200]


def test_what_is_waited_for_in_vain_is_told(client: Client) -> None:
    client.task(kind="bad", backoff=lambda attempt: 3600)(fail)
    tried, untried = client.insert({}, kind="bad"), client.insert({}, kind="none", queue="q")
    client.work()
    with pytest.raises(TimeoutError) as late:
        client.wait_all([tried.id, untried.id], timeout=0)
    assert f"job {tried.id} has not ended after 0 s of waiting: of kind 'bad' in queue 'default', retryable, " in str(
        late.value
    )
    assert "attempt 1 of 25, next at " in str(late.value)
    assert "last error: ValueError: no such file, and 1 other jobs have not ended either" in str(late.value)
    with pytest.raises(TimeoutError, match="of kind 'none' in queue 'q', available, not started yet$"):
        client.wait(untried.id, timeout=0)


def test_a_long_wait_says_what_it_waits_for(
    client: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = client.insert({}, kind="none")
    monkeypatch.setattr(jobs, "_WAIT_SAID_S", 0.0)
    with caplog.at_level(logging.WARNING, "awa.client"), pytest.raises(TimeoutError):
        client.wait(job.id, timeout=0.02)
    assert f"the first is {job.id}, of kind 'none' in queue 'default', available, not started yet" in caplog.text


def test_one_that_is_not_there_is_named(client: Client) -> None:
    job = client.insert({}, kind="none")
    with pytest.raises(JobNotFound, match=str(job.id + 1)):
        client.wait_all([job.id, job.id + 1])


def test_a_result_that_was_not_stored_is_told_of_the_first(client: Client) -> None:
    client.task(kind="odd")(lambda job: {1})
    job = client.insert({}, kind="odd")
    client.work()
    with pytest.raises(SerializationError, match=f"job {job.id} has completed"):
        client.wait_all([job.id])


def test_a_queue_is_drained_of_all_that_waits(client: Client, connection: psycopg.Connection[Any]) -> None:
    client.task(kind="bad", queue="q", backoff=lambda attempt: 3600)(fail)
    retried = client.insert({}, kind="bad")
    client.work()
    due = list(client.insert_many([{}] * 5, kind="bad"))
    later = client.insert({}, kind="bad", delay=3600)
    line = list(client.insert_many([{}] * 3, kind="bad", ordering_key="a"))
    other = client.insert({}, kind="bad", queue="other")
    assert client.drain_queue("q") == 10
    for job in (retried.id, *due, later.id, *line):
        assert str(client.get_job(job).state) == "cancelled"
    assert "queue drained" in client.get_job(later.id).errors[0]["error"]
    assert str(client.get_job(other.id).state) == "available"
    assert client.drain_queue("q") == 0


def test_what_runs_is_not_drained(client: Client) -> None:
    seen: list[int] = []
    client.task(kind="drains", queue="q")(lambda job: seen.append(client.drain_queue("q")))
    running, waiting = client.insert({}, kind="drains"), client.insert({}, kind="none", queue="q")
    client.work(["q"])
    assert seen == [1]
    assert [str(client.get_job(job.id).state) for job in (running, waiting)] == ["completed", "cancelled"]


def test_the_end_of_the_last_attempt_is_known_while_a_job_waits_for_the_next(client: Client) -> None:
    client.task(kind="bad", backoff=lambda attempt: 3600)(fail)
    job = client.insert({}, kind="bad")
    client.work()
    found = client.get_job(job.id)
    assert str(found.state) == "retryable"
    assert found.finalized_at == client.attempts(job.id)[0]["finished_at"]


def test_a_job_that_has_come_back_is_not_said_to_be_due_since_its_insert(client: Client) -> None:
    client.task(kind="bad", backoff=lambda attempt: 0 if attempt == 1 else 3600)(fail)
    job = client.insert({}, kind="bad")
    assert client.work(limit=1) == 1
    with psycopg.connect(client.dsn or "") as connection:
        promote(connection)
    back = client.get_job(job.id)
    assert str(back.state) == "available"
    assert back.run_at == client.attempts(job.id)[0]["finished_at"]
    client.cancel(job.id)
    again = client.retry(job.id)
    assert again.run_at is not None
    assert again.run_at > back.run_at


def test_more_than_a_list_can_have_is_cut(client: Client) -> None:
    client.insert_many([{}] * 1_001, kind="none")
    assert len(client.list_jobs(limit=5_000)) == 1_000


def test_the_length_of_a_bulk_insert_is_the_number_of_new_jobs(client: Client) -> None:
    done = client.insert_many([{"n": 1}, {"n": 1}, {"n": 2}], kind="none", unique_opts={})
    assert (len(done), list(done), done.skipped_at) == (2, done.ids, (1,))
