"""Finding jobs, and changing many of them."""

from __future__ import annotations

import json
from typing import Any

from awa import Client, JobState
from tests.cli.conftest import Run


def ids(awa: Run, *options: object) -> list[int]:
    return [job["id"] for job in json.loads(awa("job", "list", "--json", *options).stdout)]


def test_pages_tags_and_several_states(awa: Run, client: Client) -> None:
    jobs = [client.insert({}, kind="k", tags=["odd"] if n % 2 else []).id for n in range(1, 6)]
    later = client.insert({}, kind="k", run_at="2040-01-01T00:00:00Z", tags=["odd"]).id
    client.cancel(jobs[0])
    newest = [*reversed(jobs)]
    assert ids(awa, "--limit", 2) == [later, newest[0]]
    assert ids(awa, "--limit", 2, "--before-id", newest[0]) == newest[1:3]
    assert ids(awa, "--tag", "odd") == [later, jobs[4], jobs[2], jobs[0]]
    assert ids(awa, "--state", "available", "--tag", "odd") == [jobs[4], jobs[2]]
    assert ids(awa, "--state", "available", "--before-id", jobs[3]) == [jobs[2], jobs[1]]
    assert ids(awa, "--state", "scheduled", "--state", "cancelled") == [later, jobs[0]]
    assert ids(awa, "--state", "cancelled", "--tag", "even") == []
    assert ids(awa, "--state", "scheduled", "--before-id", later) == []
    assert ids(awa, "--state", "available", "--state", "cancelled", "--limit", 2) == [jobs[4], jobs[3]]


def test_the_error_is_in_the_list(awa: Run, client: Client) -> None:
    @client.task(kind="bad")
    def bad(job: Any) -> None:
        raise LookupError("no such customer\nmore")

    client.insert({}, kind="bad", max_attempts=1)
    client.work()
    assert awa("job", "list").stdout.splitlines()[1].endswith("  LookupError: no such customer")


def test_many_are_cancelled(awa: Run, client: Client) -> None:
    jobs = [client.insert({}, kind="k", queue="a", tags=["t"]).id for _ in range(3)]
    later = client.insert({}, kind="k", queue="b", run_at="2040-01-01T00:00:00Z").id
    other = client.insert({}, kind="other", queue="b").id
    told = awa("job", "cancel", jobs[0], 404, jobs[1], code=1)
    assert told.stdout == "Cancelled 2 jobs\n"
    assert told.stderr == "error: 1 jobs were not cancelled:\njob not found: 404\n"
    refused = awa("job", "cancel", "--kind", "k", code=1).stderr
    assert refused == "error: Cancel 2 jobs (kind 'k')? There is no terminal to ask at: add --yes\n"
    assert client.get_job(jobs[2]).state is JobState.Available
    assert json.loads(awa("job", "cancel", "--kind", "k", "--yes", "--json").stdout) == {"count": 2, "left": []}
    assert {client.get_job(job).state for job in (*jobs, later)} == {JobState.Cancelled}
    assert client.get_job(other).state is JobState.Available
    assert awa("job", "cancel", "--queue", "b", "--state", "available", "--yes").stdout == "Cancelled 1 jobs\n"
    assert "failed jobs cannot be cancelled" in awa("job", "cancel", "--state", "failed", "--yes", code=1).stderr
    for wrong in ((), (jobs[0], "--kind", "k")):
        assert awa("job", "cancel", *wrong, code=2).stderr


def test_many_are_retried_discarded_and_brought_forward(awa: Run, client: Client) -> None:
    @client.task(kind="bad", max_attempts=1)
    def bad(job: Any) -> None:
        raise LookupError("no")

    def insert(**options: Any) -> int:
        return client.insert({}, kind="bad", **options).id

    client.configure_queue("letters", dlq=True)
    first, tagged, dead = insert(), insert(tags=["t"]), insert(queue="letters")
    client.work()
    between = client.get_job(tagged).created_at
    last = insert()
    client.work()

    def state(job: int) -> str:
        return str(client.get_job(job).state)

    assert "Retry 1 jobs (kind 'bad', tag 't')?" in awa("job", "retry", "--kind", "bad", "--tag", "t", code=1).stderr
    assert awa("job", "retry", "--kind", "bad", "--tag", "t", "--yes").stdout == "Retried 1 jobs\n"
    assert [state(job) for job in (first, tagged, dead, last)] == ["failed", "available", "failed", "failed"]
    assert awa("job", "retry", first, last).stdout == "Retried 2 jobs\n"
    client.work()
    told = awa("job", "discard", "--kind", "bad", "--inserted-before", between, code=1).stderr
    assert told.startswith(f"error: Discard 1 jobs (kind 'bad', inserted before {between})?")
    assert awa("job", "discard", "--kind", "bad", "--inserted-before", between, "--yes").stdout == "Discarded 1 jobs\n"
    assert f"error: job not found: {first}\n" == awa("job", "discard", first, code=1).stderr
    assert awa("job", "discard", tagged).stdout == f"Discarded job {tagged}\n"
    assert f"it is a dead letter; awa dlq purge {dead}" in awa("job", "discard", dead, code=1).stderr
    assert json.loads(awa("job", "discard", "--state", "failed", "--yes", "--json").stdout) == {"count": 1, "left": []}
    assert [job.id for job in client.list_jobs()] == [dead]
    later = [insert(run_at="2040-01-01T00:00:00Z") for _ in range(2)]
    assert "it is scheduled; only failed jobs can" in awa("job", "discard", later[0], code=1).stderr
    assert awa("job", "run-now", "--queue", "default", "--yes").stdout == "Brought forward 2 jobs\n"
    assert client.work() == 2
    assert "--inserted-before" in awa("job", "cancel", "--inserted-before", "noon", code=2).stderr


def test_a_job_is_inserted(awa: Run, client: Client) -> None:
    assert "no kind is called 'render'; there are none; if you mean it" in awa("job", "insert", "render", code=1).stderr
    options = ("--args", '{"n": 1}', "--tag", "a", "--tag", "b", "--priority", 1, "--max-attempts", 3)
    made = json.loads(awa("job", "insert", "render", *options, "--force", "--json").stdout)
    job = client.get_job(made["id"])
    assert (job.args, job.tags, job.priority, job.max_attempts, job.queue) == ({"n": 1}, ["a", "b"], 1, 3, "default")
    assert awa("job", "insert", "render").stdout == f"Inserted job {job.id + 1}\n"
    assert "--args is not JSON" in awa("job", "insert", "render", "--args", "{", code=2).stderr
    assert "must be an object" in awa("job", "insert", "render", "--args", "[1]", code=2).stderr


def test_a_job_that_waits_for_its_time_runs_now(awa: Run, client: Client) -> None:
    @client.task(kind="flaky")
    def flaky(job: Any) -> None:
        if job.attempt == 1:
            raise LookupError("not yet")

    later = client.insert({}, kind="flaky", run_at="2040-01-01T00:00:00Z").id
    assert f"awa job run-now {later} has it run at once" in awa("job", "retry", later, code=1).stderr
    assert awa("job", "run-now", later).stdout == f"Brought forward job {later}\n"
    client.work()
    assert client.get_job(later).state is JobState.Retryable
    assert json.loads(awa("job", "run-now", later, "--json").stdout)["attempt"] == 1
    client.work()
    assert client.get_job(later).state is JobState.Completed
    told = awa("job", "run-now", later, code=1).stderr
    assert told == (
        f"error: job {later} cannot be brought forward: it is completed; only scheduled and retryable jobs can\n"
    )


def test_a_queue_is_drained(awa: Run, client: Client) -> None:
    jobs = [client.insert({}, kind="k", queue="a").id for _ in range(2)]
    other = client.insert({}, kind="k", queue="b").id
    assert "There is no terminal to ask at: add --yes" in awa("queue", "drain", "a", code=1).stderr
    assert client.get_job(jobs[0]).state is JobState.Available
    assert awa("queue", "drain", "a", "--yes").stdout == "Drained 2 jobs from queue 'a'\n"
    assert {client.get_job(job).state for job in jobs} == {JobState.Cancelled}
    assert client.get_job(other).state is JobState.Available
    assert json.loads(awa("queue", "drain", "a", "--yes", "--json").stdout) == {"count": 0}
