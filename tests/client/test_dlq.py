"""Dead letters as a client sees them."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from awa import Client, DlqEntry, Job, JobNotFound, JobState, RetryAfter, StateConflict, TerminalError, ValidationError
from awa.engine.admin import dlq, ended
from tests.fixtures.postgres import both_servers

SOON = timedelta(hours=1)


def fail(job: Job) -> None:
    raise TerminalError("no")


@pytest.fixture
def dead_letter(client: Client) -> Callable[..., list[int]]:
    """Makes dead letters: jobs of kind "bad" in a queue with dlq, run once."""
    client.task(kind="bad")(fail)
    client.task(kind="worse")(fail)

    def make(jobs: int = 1, queue: str = "q", **options: Any) -> list[int]:
        client.configure_queue(queue, dlq=True)
        ids = client.insert_many([{}] * jobs, **{"kind": "bad", "queue": queue, **options}).ids
        client.work([queue])
        return ids

    return make


def ids_of(entries: list[DlqEntry]) -> list[int]:
    return [entry.job.id for entry in entries]


@both_servers
def test_jobs_that_fail_become_dead_letters_where_their_queue_has_that(client: Client) -> None:
    def flaky(job: Job) -> None:
        raise ValueError(f"attempt {job.attempt}")

    client.task(kind="bad")(fail)
    client.task(kind="flaky", backoff=lambda attempt: 0)(flaky)
    client.task(kind="later")(lambda job: RetryAfter(0))
    client.configure_queue("q", dlq=True)
    bad = client.insert({"n": 1}, kind="bad", queue="q", tags=["t"])
    flaky_one = client.insert({}, kind="flaky", queue="q", max_attempts=3)
    later = client.insert({}, kind="later", queue="q", max_attempts=1)
    plain = client.insert({}, kind="bad", queue="other")
    client.task(kind="good")(lambda job: None)
    done = client.insert({}, kind="good", queue="q")
    client.work(["q", "other"])

    entry = client.get_dlq_job(bad.id)
    assert entry is not None
    assert (entry.reason, entry.original_run_lease, entry.job) == ("terminal_error", 1, client.get_job(bad.id))
    assert (entry.job.state, entry.job.args, entry.job.tags) == (JobState.Failed, {"n": 1}, ["t"])
    assert entry.dlq_at.utcoffset() == timedelta(0)
    assert abs(entry.dlq_at - datetime.now(timezone.utc)) < SOON
    exhausted = client.get_dlq_job(flaky_one.id)
    assert exhausted is not None
    assert (exhausted.reason, exhausted.original_run_lease, len(exhausted.job.errors)) == (
        "max_attempts_exhausted",
        3,
        3,
    )
    assert client.get_dlq_job(later.id).reason == "max_attempts_exhausted"  # type: ignore[union-attr]
    for job in (plain, done):
        assert client.get_dlq_job(job.id) is None
    assert client.get_job(plain.id).state is JobState.Failed


def test_switching_it_on_and_off_concerns_what_fails_from_then_on(
    client: Client, dead_letter: Callable[..., list[int]]
) -> None:
    (first,) = dead_letter()
    client.configure_queue("q", dlq=False)
    second = client.insert({}, kind="bad", queue="q").id
    client.work(["q"])
    assert ids_of(client.list_dlq()) == [first]
    assert client.get_job(second).state is JobState.Failed


def test_lists_are_newest_first_filtered_and_paged(client: Client, dead_letter: Callable[..., list[int]]) -> None:
    first = dead_letter(3, queue="a", tags=["x", "y"])
    second = dead_letter(2, queue="b", kind="worse", tags=["y"])
    third = dead_letter(2, queue="a", kind="worse")
    # As after one bulk move: what became a dead letter at the same instant is told apart by id.
    with client._using("test") as connection:
        connection.execute("update awa.dlq set dlq_at = date_trunc('hour', dlq_at)")
    ids = sorted(first + second + third, reverse=True)
    assert ids_of(client.list_dlq()) == ids
    for expected, wanted in (
        (third + first, {"queue": "a"}),
        (second + third, {"kind": "worse"}),
        (third, {"kind": "worse", "queue": "a"}),
        (first, {"tag": "x"}),
        (first + second, {"tag": "y"}),
        ([], {"tag": "z"}),
        ([], {"queue": "c"}),
        (first, {"before_id": second[0]}),
        ([], {"before_dlq_at": client.list_dlq()[0].dlq_at}),
        (ids, {"before_dlq_at": "2900-01-01T00:00:00Z"}),
    ):
        assert ids_of(client.list_dlq(**wanted)) == sorted(expected, reverse=True), wanted  # type: ignore[arg-type]
    seen: list[int] = []
    page = client.list_dlq(limit=2)
    while page:
        seen += ids_of(page)
        page = client.list_dlq(limit=2, before_id=page[-1].job.id, before_dlq_at=page[-1].dlq_at)
    assert seen == ids


def test_depths(client: Client, dead_letter: Callable[..., list[int]]) -> None:
    assert (client.dlq_depth(), client.dlq_depth_by_queue()) == (0, [])
    dead_letter(1, queue="a")
    dead_letter(2, queue="b")
    assert client.dlq_depth_by_queue() == [("b", 2), ("a", 1)]
    assert (client.dlq_depth(), client.dlq_depth(queue="a"), client.dlq_depth(queue="c")) == (3, 1, 0)


@both_servers
def test_a_dead_letter_is_run_again_with_its_errors_kept(client: Client, dead_letter: Callable[..., list[int]]) -> None:
    (job,) = dead_letter()
    retried = client.retry_from_dlq(job)
    assert retried is not None
    assert (retried.state, retried.attempt, len(retried.errors)) == (JobState.Available, 0, 1)
    assert client.get_dlq_job(job) is None
    assert client.retry_from_dlq(job) is None
    client.work(["q"])
    again = client.get_dlq_job(job)
    assert again is not None
    assert (again.original_run_lease, again.job.attempt, len(again.job.errors)) == (2, 1, 2)


@both_servers
def test_a_dead_letter_moves_to_another_queue_and_priority(
    client: Client, dead_letter: Callable[..., list[int]]
) -> None:
    (job,) = dead_letter()
    seen: list[tuple[str, int]] = []
    moved = client.retry_from_dlq(job, queue="night", priority=4)
    assert moved is not None
    assert (moved.queue, moved.priority) == ("night", 4)
    assert [each.id for each in client.list_jobs(queue="night")] == [job]
    assert [each.id for each in client.list_jobs(queue="night", state="available")] == [job]
    assert client.list_jobs(queue="q") == []
    assert client.work(["q"]) == 0

    def ask(asked: Job) -> None:
        seen.append((asked.queue, asked.priority))
        raise TerminalError("still no")

    client.configure_queue("night", dlq=True)
    client.task(kind="bad", replace=True)(ask)
    assert client.work(["night"]) == 1
    assert seen == [("night", 4)]
    assert ids_of(client.list_dlq(queue="night")) == [job]
    back = client.retry_from_dlq(job, queue="q")
    assert back is not None
    assert (back.queue, back.priority) == ("q", 4)
    assert client.cancel(job).queue == "q"


def test_a_dead_letter_can_be_run_again_later(client: Client, dead_letter: Callable[..., list[int]]) -> None:
    later, past = dead_letter(2)
    when = datetime(2040, 1, 1, tzinfo=timezone.utc)
    retried = client.retry_from_dlq(later, run_at=when)
    assert retried is not None
    assert (retried.state, retried.run_at, retried.attempt) == (JobState.Scheduled, when, 0)
    assert client.work(["q"]) == 0
    assert client.cancel(later).state is JobState.Cancelled
    assert client.retry_from_dlq(past, run_at="2000-01-01T00:00:00Z").state is JobState.Available  # type: ignore[union-attr]
    assert client.work(["q"]) == 1


def test_retry_takes_a_job_out_of_the_dead_letters(client: Client, dead_letter: Callable[..., list[int]]) -> None:
    (job,) = dead_letter()
    assert client.retry(job).state is JobState.Available
    assert client.get_dlq_job(job) is None
    with pytest.raises(StateConflict):
        client.retry(job)


@both_servers
def test_bulk_retries_take_steps_the_oldest_first(
    client: Client, dead_letter: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dlq, "BULK_JOBS_MAX", 2)
    ids = dead_letter(5, tags=["x"])
    other = dead_letter(2, kind="worse")
    elsewhere = dead_letter(1, queue="z")
    assert client.bulk_retry_from_dlq(kind="bad", queue="q", tag="x") == 5
    assert sorted(ids_of(client.list_dlq())) == sorted(other + elsewhere)
    ran: list[int] = []
    client.task(kind="bad", replace=True)(lambda job: ran.append(job.id))
    client.work(["q"])
    assert ran == ids
    assert client.bulk_retry_from_dlq(allow_all=True) == 3
    assert client.bulk_retry_from_dlq(allow_all=True) == 0
    assert client.dlq_depth() == 0


def test_a_bulk_retry_of_jobs_that_fail_at_once_comes_to_an_end(
    client: Client, dead_letter: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dlq, "BULK_JOBS_MAX", 2)
    ids = dead_letter(5)
    retry = ended.retry

    def run_as_well(*args: Any, **options: Any) -> list[int]:
        done = retry(*args, **options)
        failing.append(len(done))
        return done

    failing: list[int] = []
    monkeypatch.setattr(ended, "retry", run_as_well)
    wake = dlq.wake

    def fail_again(connection: psycopg.Connection[Any]) -> None:
        wake(connection)
        connection.execute("insert into awa.dlq (job_id, lane, runs, reason) select id, 1, 9, 'again' from awa.job_log "
                           "where id <> all (select job_id from awa.dlq)")  # fmt: skip

    monkeypatch.setattr(dlq, "wake", fail_again)
    assert client.bulk_retry_from_dlq(allow_all=True) == 5
    assert failing == [2, 2, 1]
    assert sorted(ids_of(client.list_dlq())) == ids


@both_servers
def test_failed_jobs_are_moved_there(
    client: Client, dead_letter: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ended, "BULK_JOBS_MAX", 2)
    (already,) = dead_letter()
    client.configure_queue("q", dlq=False)
    plain = client.insert_many([{}] * 5, kind="bad", queue="q").ids
    waiting = client.insert({}, kind="bad", queue="else").id
    client.work(["q"])
    entry = client.move_failed_to_dlq(plain[0], "looks odd")
    assert entry is not None
    assert (entry.reason, entry.job.id, entry.original_run_lease) == ("looks odd", plain[0], 1)
    for job in (plain[0], already, waiting, 404, 2**70):
        assert client.move_failed_to_dlq(job, "again") is None
    assert client.bulk_move_failed_to_dlq(kind="worse") == 0
    assert client.bulk_move_failed_to_dlq(queue="q") == 4
    assert client.bulk_move_failed_to_dlq(allow_all=True, reason="tidy up") == 0
    assert [entry.reason for entry in client.list_dlq(queue="q")] == ["manual"] * 4 + ["looks odd", "terminal_error"]


@both_servers
def test_purged_is_gone(client: Client, dead_letter: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dlq, "BULK_JOBS_MAX", 2)
    first, *rest = dead_letter(5, tags=["x"])
    other = dead_letter(2, queue="b")
    assert client.purge_dlq_job(first) is True
    assert client.purge_dlq_job(first) is False
    for ask in (client.get_job, client.retry, client.attempts):
        with pytest.raises(JobNotFound):
            ask(first)
    assert client.purge_dlq(queue="b", tag="x") == 0
    assert client.purge_dlq(before_id=rest[1]) == 1
    assert client.purge_dlq(before_dlq_at="2000-01-01T00:00:00Z") == 0
    assert client.purge_dlq(tag="x") == 3
    assert sorted(ids_of(client.list_dlq())) == other
    assert client.purge_dlq(allow_all=True) == 2
    assert client.list_jobs() == []
    with client._using("test") as connection:
        assert connection.execute("select count(*) from awa.every_attempt").fetchone() == (0,)


@both_servers
def test_failed_jobs_of_a_kind_are_retried_or_discarded_but_not_dead_letters(
    client: Client, dead_letter: Callable[..., list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ended, "BULK_JOBS_MAX", 2)
    (letter,) = dead_letter()
    client.configure_queue("q", dlq=False)
    bad = client.insert_many([{}] * 3, kind="bad", queue="q").ids
    worse = client.insert_many([{}] * 2, kind="worse", queue="q").ids
    client.work(["q"])
    result = client.retry_failed(kind="bad")
    assert ([job.id for job in result.jobs], result.matched, result.pruned_failed_count) == (bad, 3, None)
    assert {job.state for job in result.jobs} == {JobState.Available}
    client.work(["q"])
    assert client.retry_failed(queue="q").pruned_failed_count == 0
    client.work(["q"])
    assert client.discard_failed("worse") == 2
    assert client.discard_failed("worse") == 0
    assert sorted(job.id for job in client.list_jobs()) == sorted([letter, *bad])
    assert not set(worse) & {job.id for job in client.list_jobs()}
    assert ids_of(client.list_dlq()) == [letter]
    for wrong in ({}, {"kind": "a", "queue": "b"}):
        with pytest.raises(ValueError, match="a kind or a queue"):
            client.retry_failed(**wrong)


def test_what_would_concern_all_has_to_be_said(client: Client) -> None:
    for call, scope in (
        (client.bulk_retry_from_dlq, "kind, queue or tag"),
        (client.bulk_move_failed_to_dlq, "kind or queue"),
        (client.purge_dlq, "kind, queue, tag, before_id or before_dlq_at"),
    ):
        with pytest.raises(ValidationError, match=rf"names no scope .*: pass {scope}, or allow_all=True"):
            call()


@pytest.mark.parametrize(
    ("call", "arguments", "said"),
    [
        ("list_dlq", {"tag": 5}, "tag is 5"),
        ("list_dlq", {"kind": ""}, "kind '' is not a name"),
        ("list_dlq", {"limit": 0}, "limit is 0"),
        ("list_dlq", {"before_id": "x"}, "'x' is not a whole number"),
        ("list_dlq", {"before_dlq_at": "soon"}, "before_dlq_at is 'soon', which is no point in time"),
        ("purge_dlq", {"tag": "a\0"}, "tag is 'a"),
        ("dlq_depth", {"queue": 5}, "queue 5 is not a name"),
        ("move_failed_to_dlq", {"job_id": 1, "reason": ""}, "reason is ''"),
        ("bulk_move_failed_to_dlq", {"kind": "k", "reason": "\ud800"}, "reason is"),
        ("retry_from_dlq", {"job_id": 1, "priority": 5}, "priority is 5"),
        ("retry_from_dlq", {"job_id": 1, "queue": ""}, "queue '' is not a name"),
        ("retry_from_dlq", {"job_id": 1, "run_at": "soon"}, "run_at is 'soon'"),
        ("get_dlq_job", {"job_id": "1"}, "'1' is not a whole number"),
    ],
)
def test_what_cannot_be_is_named(client: Client, call: str, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        getattr(client, call)(**arguments)


def test_numbers_no_job_can_have_are_no_dead_letters(client: Client) -> None:
    for job in (0, -1, 404, 2**63, -(2**70)):
        assert client.get_dlq_job(job) is None
        assert client.retry_from_dlq(job) is None
        assert client.purge_dlq_job(job) is False


def test_on_the_callers_connection_it_is_part_of_his_transaction(
    database: str, dead_letter: Callable[..., list[int]], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dlq, "BULK_JOBS_MAX", 2)
    first, *rest = dead_letter(4)
    with psycopg.connect(database) as theirs:
        mine = Client(theirs)
        assert mine.purge_dlq_job(first)
        assert mine.bulk_retry_from_dlq(allow_all=True) == 3
        assert mine.list_dlq() == []
        assert len(client.list_dlq()) == 4, "not committed yet"
        theirs.rollback()
    assert sorted(ids_of(client.list_dlq())) == [first, *rest]
