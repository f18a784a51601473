"""Narrow: whatever the server refuses is narrowed down to its job; everything else is settled and handed back."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from awa.engine import nodes
from awa.engine.admin import control
from awa.engine.narrow import AGAIN_US, settle
from awa.engine.rescue import WorkerExit, rescue, rescue_stale
from awa.job.attempt import Settlement
from awa.job.model import JobState
from awa.task.outcome import RESULT_NOT_STORED
from awa.telemetry import events as telemetry_events
from tests.engine.helpers import (
    Connection,
    add_sealed,
    all_in,
    batches,
    ids_of,
    outcome,
    outcomes,
    places,
    sign_in,
    state,
    take,
)

NUL_IN_JSON = b'{"error": "\\u0000", "attempt": 1}'
REFUSED: dict[str, Any] = {
    "text that jsonb cannot hold": {"payload": NUL_IN_JSON},
    "a NUL byte": {"payload": b'{"error": "\0"}'},
    "no UTF-8": {"payload": b'{"error": "\xff"}'},
    "no JSON": {"payload": b"{"},
    "a time out of range": {"finished_us": -(2**62)},
    "a number out of range": {"peak_kb": 2**40},
    "a delay out of range": {"delay_us": 2**63 - 1, "state": JobState.Retryable},
}


@pytest.fixture
def worker(db: Connection) -> int:
    return sign_in(db)


@pytest.fixture
def said() -> Iterator[list[dict[str, Any]]]:
    """What is said of outcomes that the server refused."""
    events: list[dict[str, Any]] = []
    stop = telemetry_events.subscribe(
        lambda event, fields: events.append(fields) if event == "settle.stand_in" else None
    )
    yield events
    stop()


def leased(db: Connection, worker: int, jobs: int, **fields: Any) -> list[int]:
    add_sealed(db, jobs, **fields)
    return ids_of(take(db, worker, jobs))


def with_refused(ids: list[int], culprit: int, **wrong: Any) -> list[Settlement]:
    """Outcomes of which one is refused."""
    return [each._replace(**wrong) if each.job_id == culprit else each for each in outcomes(ids)]


def errors(db: Connection, job: int) -> list[dict[str, Any]]:
    return [json.loads(entry) for entry in control.get(db, job)["errors"]]


def record(db: Connection, job: int, attempt: int, outcome: int) -> None:
    """Put an attempt on record of which the job's lease does not know."""
    db.execute(
        "insert into awa.attempt_log (job_id, finished_at, lane, retry_round, attempt, outcome)"
        " select %s, now(), id, 0, %s, %s from awa.lane limit 1", [job, attempt, outcome],
    )  # fmt: skip


@pytest.mark.parametrize("wrong", REFUSED.values(), ids=REFUSED)
def test_one_refused_outcome_holds_up_no_other(
    db: Connection, worker: int, said: list[dict[str, Any]], wrong: dict[str, Any]
) -> None:
    ids = leased(db, worker, 9)
    given = with_refused(ids, ids[6], **wrong)
    assert settle(db, worker, given) == set(ids)
    assert all_in(db, "ended", ids[:6] + ids[7:])
    expected = "retryable" if given[6].state == JobState.Retryable else "completed"
    assert state(db, ids[6]) == expected
    assert batches(db) == []
    (line,) = said
    assert line["job"] == ids[6]
    assert line["kept"] == "a stand-in"


def test_a_stand_in_says_what_was_refused(db: Connection, worker: int) -> None:
    failed, done = leased(db, worker, 2)
    wrong = {"payload": NUL_IN_JSON}
    settle(db, worker, [outcome(failed, JobState.Failed)._replace(**wrong), outcome(done)._replace(**wrong)])
    (error,) = errors(db, failed)
    assert error["type"] == "OutcomeRefused"
    assert "unsupported Unicode escape sequence" in error["error"]
    assert error["attempt"] == 1
    result = json.loads(control.get(db, done)["result"])
    assert "unsupported Unicode escape sequence" in result[RESULT_NOT_STORED]


def test_the_times_of_a_stand_in_are_the_servers(db: Connection, worker: int) -> None:
    (job,) = leased(db, worker, 1)
    settle(db, worker, [outcome(job)._replace(finished_us=-(2**62))])
    row = db.execute("select finished_at between now() - interval '1 minute' and now() from awa.attempt_log").fetchone()
    assert row == (True,)


def test_without_any_payload_where_a_stand_in_is_refused_too(
    db: Connection, worker: int, said: list[dict[str, Any]]
) -> None:
    db.execute("alter table awa.attempt_log add check (result is null)")
    ids = leased(db, worker, 3)
    assert settle(db, worker, [outcome(ids[0]), outcome(ids[1], payload={"n": 1}), outcome(ids[2])]) == set(ids)
    assert all_in(db, "ended", ids)
    assert [line["kept"] for line in said] == ["the end of the attempt, and nothing else"]


def test_with_no_attempt_on_record_where_none_can_be(db: Connection, worker: int, said: list[dict[str, Any]]) -> None:
    ids = leased(db, worker, 3)
    db.execute(f"alter table awa.attempt_log add check (job_id <> {ids[1]})".encode())
    assert settle(db, worker, outcomes(ids)) == set(ids)
    assert all_in(db, "ended", [ids[0], ids[2]])
    assert state(db, ids[1]) == "scheduled"
    row = db.execute("select run_at between now() and now() + %s * interval '1 us' from awa.deferred", [AGAIN_US])
    assert row.fetchone() == (True,)
    assert [line["kept"] for line in said] == ["nothing: it runs again"]


def test_a_job_that_nothing_can_be_stored_of_stays_leased_and_is_named(
    db: Connection, worker: int, said: list[dict[str, Any]]
) -> None:
    ids = leased(db, worker, 3)
    for table in ("attempt_log", "deferred"):
        db.execute(f"alter table awa.{table} add check (job_id <> {ids[1]})".encode())
    assert settle(db, worker, outcomes(ids)) == {ids[0], ids[2]}
    assert all_in(db, "leased", [ids[1]])
    assert [(line["job"], line["kept"]) for line in said] == [(ids[1], "nothing: it stays leased to its worker")]


def test_an_attempt_that_is_on_record_already_becomes_a_later_one(db: Connection, worker: int) -> None:
    ids = leased(db, worker, 3)
    record(db, ids[1], 1, JobState.Retryable)
    record(db, ids[1], 2, JobState.Retryable)
    assert settle(db, worker, outcomes(ids)) == set(ids)
    assert all_in(db, "ended", ids)
    assert control.get(db, ids[1])["attempt"] == 3


def test_a_job_that_had_ended_before_leaves_the_lease(db: Connection, worker: int, said: list[dict[str, Any]]) -> None:
    ids = leased(db, worker, 3)
    record(db, ids[1], 1, JobState.Cancelled)
    assert settle(db, worker, outcomes(ids)) == {ids[0], ids[2]}
    assert batches(db) == []
    assert state(db, ids[1]) == "cancelled"
    assert said[0]["kept"] == "nothing: it had ended, or was put aside, before"


def test_what_is_no_refusal_is_raised(db: Connection, worker: int) -> None:
    ids = leased(db, worker, 4)
    with psycopg.connect(db.info.dsn) as other:
        other.execute("select from awa.batch for update")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            settle(db, worker, outcomes(ids), patience_ms=1)
    assert all_in(db, "leased", ids)


@pytest.mark.parametrize("wrong", REFUSED.values(), ids=REFUSED)
def test_a_dead_workers_lease_is_taken_apart_whatever_its_outcomes_are(
    db: Connection, worker: int, wrong: dict[str, Any]
) -> None:
    ids = leased(db, worker, 9)
    rescued = rescue(db, worker, WorkerExit("killed", ids[5]), with_refused(ids[:5], ids[2], **wrong))
    assert (rescued.settled, rescued.suspect, rescued.returned) == (5, ids[5], 3)
    where = places(db)
    assert [where[job] for job in ids[5:]] == [["ready"]] * 4
    assert db.execute("select from awa.worker").fetchone() is None


def test_a_death_that_cannot_be_stored_costs_an_attempt_all_the_same(
    db: Connection, worker: int, said: list[dict[str, Any]]
) -> None:
    ids = leased(db, worker, 3)
    rescue(db, worker, WorkerExit("killed", ids[0], details={"type": "JobTimeout", "stack": "a \0 in it"}))
    assert all_in(db, "ready", ids)
    (error,) = errors(db, ids[0])
    assert error["type"] == "JobTimeout"
    assert [(line["job"], line["kept"]) for line in said] == [(ids[0], "a stand-in")]


def test_the_attempt_a_worker_died_in_may_be_on_record_already(db: Connection, worker: int) -> None:
    ids = leased(db, worker, 3)
    record(db, ids[0], 1, JobState.Retryable)
    assert rescue(db, worker, WorkerExit("killed", ids[0])).suspect == ids[0]
    assert all_in(db, "ready", ids[1:])
    assert all_in(db, "deferred", ids[:1])
    assert [each["attempt"] for each in control.attempts(db, ids[0])] == [2]


def test_a_suspect_that_cannot_be_stored_is_handed_back_with_the_rest(
    db: Connection, worker: int, said: list[dict[str, Any]]
) -> None:
    ids = leased(db, worker, 3)
    db.execute(f"alter table awa.attempt_log add check (job_id <> {ids[0]})".encode())
    assert rescue(db, worker, WorkerExit("killed", ids[0])).returned == 3
    assert all_in(db, "ready", ids)
    assert said[-1]["kept"] == "nothing: it runs again, with no attempt spent"


def test_figures_of_a_cancelled_job_that_are_refused_hold_nothing_up(db: Connection, worker: int) -> None:
    ids = leased(db, worker, 2)
    control.cancel(db, ids[0])
    assert settle(db, worker, with_refused(ids, ids[0], started_us=-(2**62))) == {ids[1]}
    assert state(db, ids[0]) == "cancelled"


def test_one_worker_of_a_lost_node_does_not_keep_the_others_leases(db: Connection) -> None:
    node = nodes.register_node(db, "lost")
    first, second = nodes.register_worker(db, node), nodes.register_worker(db, node)
    assert first is not None
    assert second is not None
    ids, others = leased(db, first, 3), leased(db, second, 3)
    db.execute(f"alter table awa.attempt_log add check (job_id <> {ids[0]})".encode())
    assert rescue_stale(db, nodes.beats(db)) == ["lost"]
    assert all_in(db, "ready", ids + others)
