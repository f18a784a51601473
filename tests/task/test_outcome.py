"""What a handler returns or raises becomes one verdict."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awa.backoff import delay_us
from awa.errors import TerminalError, ValidationError
from awa.job.model import JobState
from awa.task.outcome import (
    DELAY_SECONDS_MAX,
    RESULT_BYTES_MAX,
    RESULT_NOT_STORED,
    Cancel,
    Outcome,
    RetryAfter,
    Snooze,
    decide_error,
    decide_result,
    result_refusal,
)
from awa.task.policy import Policy

NOW_US = 1_767_323_045_678_901
NOW = "2026-01-02T03:04:05.678901Z"


def entry(outcome: Outcome) -> dict[str, Any]:
    assert outcome.payload is not None
    loaded: dict[str, Any] = json.loads(outcome.payload)
    return loaded


def raised(exc: BaseException) -> BaseException:
    try:
        raise exc
    except BaseException as caught:
        return caught


# What a handler returns


def test_nothing_returned_is_completed_without_a_result() -> None:
    assert decide_result(None, 1, 25) == Outcome(JobState.Completed, None, None)


@pytest.mark.parametrize("value", [0, False, "", [], {"pages": 3}, JobState.Failed])
def test_anything_returned_is_the_result(value: object) -> None:
    outcome = decide_result(value, 1, 25)
    assert (outcome.state, outcome.delay_us, entry(outcome)) == (JobState.Completed, None, value)


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({"rows": [object()]}, "result.rows[0] is of type object, an object with no JSON form"),
        ({"x": math.nan}, "result.x is nan"),
        ("x" * RESULT_BYTES_MAX, "result takes 1,000,002 bytes as JSON, more than the limit of 1,000,000"),
        ("\ud800", "result contains the lone surrogate"),
    ],
)
def test_a_result_that_cannot_be_stored_does_not_undo_the_work(value: object, why: str) -> None:
    outcome = decide_result(value, 1, 25)
    assert outcome.state is JobState.Completed
    assert entry(outcome)[RESULT_NOT_STORED].startswith(why)
    assert str(result_refusal(entry(outcome))).startswith(why)


@pytest.mark.parametrize("result", [None, 1, {}, {"a": 1}, {RESULT_NOT_STORED: "x", "a": 1}])
def test_a_real_result_is_not_taken_for_a_refused_one(result: object) -> None:
    assert result_refusal(result) is None


def test_retry_after_waits_exactly_and_leaves_no_error() -> None:
    assert decide_result(RetryAfter(1.5), 1, 25) == Outcome(JobState.Retryable, 1_500_000, None)
    assert decide_result(RetryAfter(-5), 24, 25) == Outcome(JobState.Retryable, 0, None)


def test_retry_after_on_the_last_attempt_fails() -> None:
    outcome = decide_result(RetryAfter(1), 25, 25, now_us=NOW_US)
    assert (outcome.state, outcome.delay_us) == (JobState.Failed, None)
    assert entry(outcome) == {
        "error": "RetryAfter: no attempts left (25 of 25)",
        "type": "RetryAfter",
        "attempt": 25,
        "at": NOW,
    }


def test_snooze_puts_aside_even_on_the_last_attempt() -> None:
    assert decide_result(Snooze(0.000001), 25, 25) == Outcome(JobState.Scheduled, 1, None)


def test_cancel_says_why() -> None:
    outcome = decide_result(Cancel(), 2, 25, now_us=NOW_US)
    assert (outcome.state, outcome.delay_us) == (JobState.Cancelled, None)
    assert entry(outcome) == {"error": "cancelled: cancelled by handler", "type": "Cancel", "attempt": 2, "at": NOW}
    assert entry(decide_result(Cancel("no\0 stock \ud800"), 1, 1))["error"] == "cancelled: no\\x00 stock \\ud800"


def test_a_reason_of_any_length_is_recorded() -> None:
    error = entry(decide_result(Cancel("x" * 3_000_000), 1, 1))["error"]
    assert error.startswith("cancelled: xxx")
    assert error.endswith("… [cut: 3000011 bytes, the first 21504 are kept]")


@pytest.mark.parametrize("seconds", [math.nan, math.inf, DELAY_SECONDS_MAX + 1, "5", None])
@pytest.mark.parametrize("outcome", [RetryAfter, Snooze])
def test_a_delay_is_a_finite_number(outcome: Any, seconds: object) -> None:
    with pytest.raises(ValidationError, match=rf"{outcome.__name__}\(.*\): seconds must be a finite number"):
        outcome(seconds)


# What a handler raises


def test_an_error_is_retried_after_the_backoff() -> None:
    outcome = decide_error(raised(ValueError("bad input")), 3, 25, uniform=0.5, now_us=NOW_US)
    assert (outcome.state, outcome.delay_us) == (JobState.Retryable, delay_us(3, 0.5))
    assert entry(outcome).keys() == {"error", "type", "attempt", "at"}
    assert entry(outcome)["type"] == "ValueError"
    assert (entry(outcome)["attempt"], entry(outcome)["at"]) == (3, NOW)


@given(st.integers(1, 100), st.integers(1, 100))
def test_attempts_are_all_there_is_between_retryable_and_failed(attempt: int, max_attempts: int) -> None:
    outcome = decide_error(OSError("x"), attempt, max_attempts)
    assert (outcome.state is JobState.Failed) == (attempt >= max_attempts)
    assert (outcome.delay_us is None) == (outcome.state is JobState.Failed)
    assert "terminal" not in entry(outcome)


class NoSuchCustomer(TerminalError):
    pass


def test_an_error_says_where_its_class_is_defined() -> None:
    def entry_of(kind: type[Exception]) -> dict[str, Any]:
        return entry(decide_error(kind("x"), 1, 3))

    assert entry_of(TerminalError)["module"] == "awa.errors"
    assert "module" not in entry_of(ValueError)
    odd = type("Odd", (Exception,), {"__module__": "a\0\ud800"})
    assert entry_of(odd)["module"] == r"a\x00\ud800"
    assert "module" not in entry_of(type("None", (Exception,), {"__module__": 7}))


def test_a_terminal_error_fails_at_once_and_says_so() -> None:
    outcome = decide_error(raised(NoSuchCustomer("customer 7 is gone")), 1, 25)
    assert (outcome.state, outcome.delay_us) == (JobState.Failed, None)
    assert entry(outcome)["terminal"] is True
    assert entry(outcome)["error"].startswith("NoSuchCustomer: customer 7 is gone\n")


def test_the_caller_may_know_that_no_retry_helps() -> None:
    outcome = decide_error(TypeError("args do not fit"), 1, 25, terminal=True)
    assert (outcome.state, entry(outcome)["terminal"]) == (JobState.Failed, True)


@pytest.mark.parametrize("exc", [KeyboardInterrupt(), SystemExit(3)])
def test_exceptions_that_would_end_the_process_are_errors_of_the_job(exc: BaseException) -> None:
    assert decide_error(raised(exc), 1, 25).state is JobState.Retryable


class Lost(OSError):
    pass


@pytest.mark.parametrize(
    ("policy", "exc", "state"),
    [
        (Policy(retry_on=(OSError,)), Lost("x"), JobState.Retryable),
        (Policy(retry_on=(OSError,)), ValueError("x"), JobState.Failed),
        (Policy(retry_on=()), OSError("x"), JobState.Failed),
        (Policy(give_up_on=(OSError,)), Lost("x"), JobState.Failed),
        (Policy(give_up_on=(OSError,)), ValueError("x"), JobState.Retryable),
        (Policy(retry_on=(OSError,), give_up_on=(Lost,)), Lost("x"), JobState.Failed),
        (Policy(retry_on=(TerminalError,)), TerminalError("x"), JobState.Failed),
        (Policy(retry_on=(OSError,)), SystemExit(1), JobState.Failed),
        (Policy(retry_on=(SystemExit,)), SystemExit(1), JobState.Retryable),
    ],
)
def test_a_policy_says_what_is_retried(policy: Policy, exc: BaseException, state: JobState) -> None:
    outcome = decide_error(exc, 1, 25, policy)
    assert outcome.state is state
    assert entry(outcome).get("terminal", False) is (state is JobState.Failed)
    assert (outcome.delay_us is None) is (state is JobState.Failed)


def test_a_policys_backoff_is_asked_for_the_attempt_that_failed() -> None:
    asked: list[int] = []

    def backoff(attempt: int) -> float:
        asked.append(attempt)
        return 1.5

    policy = Policy(backoff=backoff)
    assert decide_error(OSError("x"), 3, 25, policy).delay_us == 1_500_000
    assert decide_error(OSError("x"), 25, 25, policy).delay_us is None
    assert decide_error(TerminalError("x"), 1, 25, policy).delay_us is None
    assert asked == [3]


def no_delay(attempt: int) -> float:
    return 1 / 0


def leaves(attempt: int) -> float:
    raise SystemExit(3)


def text(attempt: int) -> float:
    return "soon"  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("backoff", "said"),
    [
        (no_delay, "ZeroDivisionError: division by zero"),
        (leaves, "SystemExit: 3"),
        (text, "ValidationError: it returned 'soon' for attempt 4"),
    ],
)
def test_a_backoff_that_does_not_work_costs_the_job_nothing(backoff: Callable[[int], float], said: str) -> None:
    outcome = decide_error(raised(OSError("disk")), 4, 25, Policy(backoff=backoff), uniform=0.5)
    assert (outcome.state, outcome.delay_us) == (JobState.Retryable, 18_000_000)
    stored = entry(outcome)
    assert stored["error"].startswith("OSError: disk\n")
    assert stored["backoff"].startswith(f"the default, because the task's own failed: {said}")


def test_ctrl_c_in_a_backoff_is_no_part_of_it() -> None:
    def interrupted(attempt: int) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        decide_error(OSError("x"), 1, 25, Policy(backoff=interrupted))


def test_a_generator_that_has_not_begun_is_no_success() -> None:
    def work() -> Any:
        yield 1

    async def work_later() -> Any:
        yield 1

    for made in (work(), work_later()):
        outcome = decide_result(made, 1, 3)
        assert outcome.state is JobState.Failed
        entry = json.loads(outcome.payload or b"")
        assert "the handler returned the generator" in entry["error"]
        assert entry["terminal"] is True
    assert decide_result((n for n in range(3)), 1, 3).state is JobState.Completed
