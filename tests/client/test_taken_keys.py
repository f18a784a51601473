"""Failed jobs that cannot run again, because another job has taken their unique key."""

from __future__ import annotations

from typing import Any

import pytest

from awa import Client, TerminalError, UniqueConflict

pytestmark = pytest.mark.postgres


def fail(job: Any) -> None:
    raise TerminalError("no")


def failed_and_replaced(client: Client, *, dlq: bool) -> tuple[int, int, int]:
    """Return a failed job whose key is taken, the job that has taken it, and one that can run again."""
    client.task(kind="bad")(fail)
    client.configure_queue("q", dlq=dlq)
    old = client.insert({"n": 1}, kind="bad", queue="q", unique_opts={})
    free = client.insert({"n": 2}, kind="bad", queue="q", unique_opts={})
    assert client.work(["q"]) == 2
    new = client.insert({"n": 1}, kind="bad", queue="q", unique_opts={}, delay=3600)
    return old.id, new.id, free.id


def test_a_dead_letter_whose_key_is_taken_says_by_whom(client: Client) -> None:
    old, new, free = failed_and_replaced(client, dlq=True)
    with pytest.raises(UniqueConflict, match=f"dead letter {old} cannot be retried: job {new} holds its") as refused:
        client.retry_from_dlq(old)
    assert refused.value.job_id == new
    assert client.bulk_retry_from_dlq(queue="q") == 1
    assert [entry.job.id for entry in client.list_dlq()] == [old]
    client.cancel(new)
    assert client.retry_from_dlq(old) is not None
    assert client.retry_from_dlq(old) is None
    assert client.get_job(free).attempt == 0


def test_failed_jobs_whose_key_is_taken_are_counted(client: Client) -> None:
    old, _, free = failed_and_replaced(client, dlq=False)
    result = client.retry_failed(kind="bad")
    assert ([job.id for job in result.jobs], result.matched) == ([free], 2)
    assert str(client.get_job(old).state) == "failed"
