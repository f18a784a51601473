"""States and job rows: names, numbers, text forms."""

from __future__ import annotations

import dataclasses
import pickle

import pytest

from awa.job.model import Job, JobState


def make_job(**changes: object) -> Job:
    row: dict[str, object] = dict(
        id=1, kind="x", queue="default", state=JobState.Available, priority=2, attempt=0, max_attempts=25
    )
    return Job(**(row | changes))  # type: ignore[arg-type]


def test_states_have_the_numbers_and_names_of_the_contract() -> None:
    assert [(state.value, state.name, str(state)) for state in JobState] == [
        (0, "Scheduled", "scheduled"),
        (1, "Available", "available"),
        (2, "Running", "running"),
        (3, "Completed", "completed"),
        (4, "Retryable", "retryable"),
        (5, "Failed", "failed"),
        (6, "Cancelled", "cancelled"),
        (7, "WaitingExternal", "waiting_external"),
    ]


def test_a_state_is_a_hashable_number_that_prints_as_its_name() -> None:
    state = JobState.WaitingExternal
    assert state == 7
    assert {7: "found"}[state] == "found"
    assert repr(state) == "JobState.WaitingExternal"
    assert f"{state}|{state:>17}|{state!r}" == "waiting_external| waiting_external|JobState.WaitingExternal"


def test_parse_reads_what_str_writes() -> None:
    assert [JobState.parse(str(state)) for state in JobState] == list(JobState)
    assert JobState.parse(JobState.Failed) is JobState.Failed


def test_parse_lists_the_names_there_are() -> None:
    with pytest.raises(
        ValueError, match=r"unknown job state 'done'; expected one of: scheduled, available, .*external"
    ):
        JobState.parse("done")


def test_terminal_states() -> None:
    ended = {state for state in JobState if state.is_terminal}
    assert ended == {JobState.Completed, JobState.Failed, JobState.Cancelled}


def test_a_job_shows_what_identifies_it() -> None:
    assert repr(make_job()) == "Job(id=1, kind='x', queue='default', state=Available, attempt=0)"


def test_a_job_is_frozen_hashable_and_can_be_pickled() -> None:
    job = make_job(tags=["a"], args={"n": 1})
    with pytest.raises(dataclasses.FrozenInstanceError):
        job.id = 2  # type: ignore[misc]
    assert {job, make_job(tags=["a"], args={"n": 1})} == {job}
    assert pickle.loads(pickle.dumps(job)) == job
