"""Why a job waits: each reason there is, seen in the tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from awa import Client, JobNotFound
from awa.engine import nodes


@pytest.fixture
def client(database: str) -> Iterator[Client]:
    with Client(database) as made:
        yield made


@pytest.fixture
def db(database: str) -> Iterator[Any]:
    with psycopg.connect(database, autocommit=True) as made:
        yield made


def codes(client: Client, job: int) -> list[str]:
    return [reason.code for reason in client.waiting_reasons(job)]


def seal(client: Client) -> None:
    client.queue_stats()


def test_who_could_run_it(client: Client, db: Any) -> None:
    job = client.insert({}, kind="k", queue="q").id
    assert codes(client, job) == ["no_node", "unsealed"]
    seal(client)
    assert codes(client, job) == ["no_node"]
    other = nodes.register_node(db, "other", ["else"], None)
    assert codes(client, job) == ["unknown_kind"]
    elsewhere = nodes.register_node(db, "elsewhere", ["k"], ["r"])
    assert codes(client, job) == ["queue_not_served"]
    nodes.register_node(db, "here", ["k"], ["r", "q"])
    assert codes(client, job) == []
    for node in (other, elsewhere):
        nodes.leave_node(db, node)
    client.pause_queue("q", "hine")
    (reason,) = client.waiting_reasons(job)
    assert reason.code == "queue_paused"
    assert reason.text.startswith("queue 'q' has been paused by hine since 20")
    assert reason.text.endswith("; awa queue resume q")


def test_what_goes_before_it(client: Client, db: Any) -> None:
    nodes.register_node(db, "here", ["k", "l"], None)
    first = client.insert({}, kind="k").id
    seal(client)
    urgent = client.insert({}, kind="l", priority=1).id
    third = client.insert({}, kind="k").id
    seal(client)
    assert codes(client, urgent) == []
    assert [reason.text for reason in client.waiting_reasons(third)] == ["2 jobs of queue 'default' go before it"]
    assert [reason.text for reason in client.waiting_reasons(first)] == ["1 job of queue 'default' goes before it"]


def test_lines(client: Client, db: Any) -> None:
    nodes.register_node(db, "here", ["k"], None)
    head, second, third = (client.insert({}, kind="k", ordering_key="one").id for _ in range(3))
    seal(client)
    assert codes(client, head) == []
    assert codes(client, second) == ["behind_key"]
    (reason,) = client.waiting_reasons(third)
    assert reason.text == f"2 jobs with its ordering key go before it, the first of them job {head}"


def test_time(client: Client, db: Any) -> None:
    @client.task(kind="bad")
    def bad(job: Any) -> None:
        raise LookupError

    nodes.register_node(db, "here", ["bad"], None)
    later = client.insert({}, kind="bad", run_at="2040-01-01T00:00:00Z").id
    assert codes(client, later) == ["scheduled"]
    seal(client)
    (reason,) = client.waiting_reasons(later)
    assert reason.text.startswith("it is scheduled for 2040-01-01T00:00:00+00:00")
    failed = client.insert({}, kind="bad").id
    ended = client.insert({}, kind="bad", max_attempts=1).id
    client.work()
    assert codes(client, failed) == ["retry"]
    assert codes(client, ended) == []
    db.execute("update awa.deferred set run_at = now() where job_id = %s", [failed])
    assert codes(client, failed) == ["overdue"]
    client.pause_queue("default")
    assert codes(client, later) == ["scheduled", "queue_paused"]
    with pytest.raises(JobNotFound):
        client.waiting_reasons(404)
