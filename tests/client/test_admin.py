"""Looking after jobs: reading, listing, cancelling, retrying, pausing."""

from typing import Any

import pytest

from awa import AwaError, Client, JobNotFound, JobState, StateConflict, TerminalError, ValidationError


def fail(job: object) -> None:
    raise TerminalError("no")


def test_a_job_there_is_not_is_an_awa_error_with_its_number(client: Client) -> None:
    for ask in (client.get_job, client.cancel, client.retry, client.wait, client.attempts):
        with pytest.raises(JobNotFound, match=r"^job not found: 404$") as caught:
            ask(404)
        assert isinstance(caught.value, AwaError)


def test_lists_are_newest_first_and_filtered(client: Client) -> None:
    client.task(kind="bad")(fail)
    old = client.insert({}, kind="a", queue="q")
    bad = client.insert({}, kind="bad")
    client.work()
    later = client.insert({}, kind="a", run_at="2040-01-01T00:00:00Z")
    new = client.insert({}, kind="b", queue="q")
    cancelled = client.cancel(client.insert({}, kind="b").id)
    ids = [job.id for job in client.list_jobs()]
    assert ids == [cancelled.id, new.id, later.id, bad.id, old.id]
    for expected, wanted in (
        ([new.id, old.id], {"state": "available"}),
        ([new.id, old.id], {"state": JobState.Available}),
        ([later.id], {"state": "scheduled"}),
        ([bad.id], {"state": "failed"}),
        ([cancelled.id], {"state": JobState.Cancelled}),
        ([], {"state": "running"}),
        ([], {"state": "waiting_external"}),
        ([later.id, old.id], {"kind": "a"}),
        ([new.id, old.id], {"queue": "q"}),
        ([old.id], {"queue": "q", "kind": "a", "state": "available"}),
        ([cancelled.id], {"limit": 1}),
        (ids, {"limit": 1000}),
    ):
        assert [job.id for job in client.list_jobs(**wanted)] == expected, wanted  # type: ignore[arg-type]


@pytest.mark.parametrize("job_id", ["x", "1", True, 1.0, None])
def test_what_is_no_job_id_is_named(client: Client, job_id: Any) -> None:
    for ask in (client.get_job, client.cancel, client.retry, client.wait, client.attempts):
        with pytest.raises(ValidationError, match=f"^job id {job_id!r} is not a whole number"):
            ask(job_id)


@pytest.mark.parametrize("job_id", [2**63, -(2**70), 0, -1])
def test_a_number_no_job_can_have_is_a_job_there_is_not(client: Client, job_id: int) -> None:
    with pytest.raises(JobNotFound):
        client.get_job(job_id)


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "5", None])
def test_a_limit_no_list_can_have_is_named(client: Client, limit: Any) -> None:
    with pytest.raises(ValidationError, match=f"^limit is {limit!r}; it must be a whole number from 1 on"):
        client.list_jobs(limit=limit)


@pytest.mark.parametrize("wanted", [{"queue": 5}, {"kind": 5}, {"queue": ""}])
def test_what_is_no_name_is_named_in_lists(client: Client, wanted: Any) -> None:
    with pytest.raises(ValidationError, match="is not a name"):
        client.list_jobs(**wanted)


def test_a_state_there_is_not_is_a_value_error(client: Client) -> None:
    with pytest.raises(ValueError, match="unknown job state 'done'; expected one of: scheduled, available"):
        client.list_jobs(state="done")


def test_a_job_can_be_cancelled_once(client: Client) -> None:
    job = client.insert({}, kind="dict")
    assert client.cancel(job.id).state is JobState.Cancelled
    with pytest.raises(StateConflict, match=f"job {job.id} cannot be cancelled: it is cancelled already"):
        client.cancel(job.id)


def test_failed_and_cancelled_jobs_can_be_retried_and_others_not(client: Client) -> None:
    client.task(kind="bad")(fail)
    bad = client.insert({}, kind="bad")
    client.work()
    retried = client.retry(bad.id)
    assert (retried.state, retried.attempt, len(retried.errors)) == (JobState.Available, 0, 1)
    with pytest.raises(StateConflict, match=f"job {bad.id} cannot be retried: it is available"):
        client.retry(bad.id)
    client.work()
    assert [(each["retry_round"], each["attempt"], each["outcome"]) for each in client.attempts(bad.id)] == [
        (0, 1, "failed"),
        (1, 1, "failed"),
    ]
    cancelled = client.cancel(client.insert({}, kind="dict").id)
    assert client.retry(cancelled.id).state is JobState.Available


def test_queues_are_paused_and_resumed(client: Client) -> None:
    client.pause_queue("new one", "hine")
    client.resume_queue("never heard of")
    assert [(each.queue, each.paused) for each in client.queue_stats()] == [("new one", True)]
    client.resume_queue("new one")
    client.resume_queue("new one")
    assert client.queue_stats() == []  # nothing is set for it, and no job was there
    for name in ("", "a\nb"):
        with pytest.raises(ValidationError, match="queue .*is not a name"):
            client.pause_queue(name)
