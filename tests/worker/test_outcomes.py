"""What becomes of a job when its handler returns, raises, or does worse."""

from __future__ import annotations

from datetime import timedelta

import pytest

from awa.task.outcome import result_refusal
from tests.fixtures.supervisor import Shop

pytestmark = [pytest.mark.processes, pytest.mark.postgres]


def test_completed_without_a_result(open_shop: Shop) -> None:
    job = open_shop.insert("note")
    open_shop.until_state("completed", job)
    row = open_shop.job(job)
    assert (row["attempt"], row["result"], row["errors"]) == (1, None, [])
    assert row["created_at"] <= row["attempted_at"] <= row["finalized_at"]
    (attempt,) = open_shop.attempts(job)
    assert attempt["peak_kb"] > 1000
    assert attempt["cpu_s"] >= 0


def test_a_returned_value_is_the_result(open_shop: Shop) -> None:
    job = open_shop.insert("add", {"a": 2, "b": 3})
    open_shop.until_state("completed", job)
    assert open_shop.job(job)["result"] == {"sum": 5}


def test_arguments_arrive_typed(open_shop: Shop) -> None:
    job = open_shop.insert("order", {"number": 7, "customer": "Mere"})
    open_shop.until_state("completed", job)
    assert open_shop.job(job)["result"] == "Mere ordered 7"


def test_arguments_that_do_not_fit_fail_the_job_at_once(open_shop: Shop) -> None:
    job = open_shop.insert("order", {"number": "seven", "customer": "Mere"})
    open_shop.until_state("failed", job)
    (error,) = open_shop.job(job)["errors"]
    assert error["terminal"] is True
    assert "number" in error["error"]


def test_a_raised_exception_is_retried_after_the_backoff(open_shop: Shop) -> None:
    job = open_shop.insert("boom")
    open_shop.until_state("retryable", job)
    row = open_shop.job(job)
    (attempt,) = open_shop.attempts(job)
    delay = row["run_at"] - attempt["finished_at"]
    assert timedelta(seconds=1.9) < delay < timedelta(seconds=3.5)  # 2 s, up to a quarter more, and the settling
    (error,) = row["errors"]
    assert error["type"] == "ValueError"
    message, *trace = error["error"].split("\n")
    assert message == "ValueError: it broke"
    assert "shop.py" in trace[0]  # and not a frame of ours
    assert "raise ValueError" in trace[1]
    assert row["attempt"] == 1


def test_exhausted_attempts_fail_with_every_error(open_shop: Shop) -> None:
    job = open_shop.insert("boom", max_attempts=2)
    open_shop.until_state("failed", job)
    row = open_shop.job(job)
    assert [(error["attempt"], error["type"]) for error in row["errors"]] == [(1, "ValueError"), (2, "ValueError")]
    assert open_shop.effects(job) == ["ran", "ran"]


def test_the_tasks_policy_is_followed(open_shop: Shop) -> None:
    job = open_shop.insert("picky")
    open_shop.until_state("failed", job)
    row = open_shop.job(job)
    assert [(error["type"], error.get("terminal")) for error in row["errors"]] == [
        ("ConnectionError", None),
        ("ConnectionError", None),
        ("ValueError", True),
    ]
    assert row["max_attempts"] == 25
    first, second, third = open_shop.attempts(job)
    for earlier, later in ((first, second), (second, third)):
        assert timedelta(seconds=0.1) <= later["started_at"] - earlier["finished_at"]


def test_terminal_error_fails_at_once(open_shop: Shop) -> None:
    job = open_shop.insert("terminal")
    open_shop.until_state("failed", job)
    (error,) = open_shop.job(job)["errors"]
    assert error["terminal"] is True
    assert error["error"].startswith("TerminalError: no use")


def test_retry_after(open_shop: Shop) -> None:
    job = open_shop.insert("once_more")
    open_shop.until_state("completed", job)
    row = open_shop.job(job)
    assert (row["attempt"], row["result"], row["errors"]) == (2, "second time", [])


def test_snooze_costs_no_attempt(open_shop: Shop) -> None:
    job = open_shop.insert("snooze")
    open_shop.until_state("completed", job)
    assert open_shop.job(job)["result"] == 1
    assert open_shop.effects(job) == ["ran", "ran"]
    assert len(open_shop.attempts(job)) == 1


def test_cancel(open_shop: Shop) -> None:
    job = open_shop.insert("cancel")
    open_shop.until_state("cancelled", job)
    (error,) = open_shop.job(job)["errors"]
    assert error["error"] == "cancelled: not wanted"


@pytest.mark.parametrize("code", [0, 3])
def test_sys_exit_ends_the_job_and_not_the_worker(open_shop: Shop, code: int) -> None:
    job = open_shop.insert("leave", {"code": code}, max_attempts=1)
    open_shop.until_state("failed", job)
    (error,) = open_shop.job(job)["errors"]
    assert error["error"].startswith(f"SystemExit: {code}")


def test_async_handlers(open_shop: Shop) -> None:
    """What one did not wait for ends with it."""
    first, second = open_shop.insert("later"), open_shop.insert("later")
    open_shop.until_state("completed", first, second)
    assert open_shop.job(first)["result"] == "later, and not finished"
    assert open_shop.effects(first) == []


def test_async_handlers_may_raise(open_shop: Shop) -> None:
    job = open_shop.insert("later_boom", max_attempts=1)
    open_shop.until_state("failed", job)
    (error,) = open_shop.job(job)["errors"]
    assert error["type"] == "LookupError"
    assert "shop.py" in error["error"].split("\n")[-2]


def test_a_result_that_cannot_be_stored_does_not_undo_the_work(open_shop: Shop) -> None:
    job = open_shop.insert("odd_result")
    open_shop.until_state("completed", job)
    refusal = result_refusal(open_shop.job(job)["result"])
    assert refusal is not None
    assert "object" in refusal


def test_a_child_a_handler_forked_does_not_become_a_worker(open_shop: Shop) -> None:
    job = open_shop.insert("fork_and_exit")
    open_shop.until_state("completed", job)
    assert open_shop.job(job)["result"] == "child left with 7"
    assert len(open_shop.attempts(job)) == 1


def test_kinds_and_queues_of_others_stay_where_they_are(open_shop: Shop) -> None:
    unknown = open_shop.insert("nobody_knows_me")
    elsewhere = open_shop.insert("note", queue="elsewhere")
    ours = open_shop.insert("note")
    open_shop.until_state("completed", ours)
    assert open_shop.states(unknown, elsewhere) == ["available", "available"]


def test_a_new_lane_is_found_at_once(open_shop: Shop) -> None:
    """A kind and priority nobody has inserted before, while all workers are idle."""
    for priority in (1, 3, 4):
        job = open_shop.insert("note", priority=priority)
        open_shop.until_state("completed", job)
