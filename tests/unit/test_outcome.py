"""What a handler returns or raises becomes one verdict."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awa.backoff import delay_us
from awa.errors import TerminalError, ValidationError
from awa.job import JobState
from awa.outcome import (
    DELAY_SECONDS_MAX,
    ERROR_MESSAGE_BYTES_MAX,
    ERROR_TRACEBACK_BYTES_MAX,
    RESULT_BYTES_MAX,
    RESULT_NOT_STORED,
    Cancel,
    RetryAfter,
    Snooze,
    Verdict,
    decide_error,
    decide_result,
    describe,
    result_refusal,
)

NOW_US = 1_767_323_045_678_901
NOW = "2026-01-02T03:04:05.678901Z"


def entry(verdict: Verdict) -> dict[str, Any]:
    assert verdict.payload is not None
    loaded: dict[str, Any] = json.loads(verdict.payload)
    return loaded


def raised(exc: BaseException) -> BaseException:
    try:
        raise exc
    except BaseException as caught:
        return caught


# What a handler returns


def test_nothing_returned_is_completed_without_a_result() -> None:
    assert decide_result(None, 1, 25) == Verdict(JobState.Completed, None, None)


@pytest.mark.parametrize("value", [0, False, "", [], {"pages": 3}, JobState.Failed])
def test_anything_returned_is_the_result(value: object) -> None:
    verdict = decide_result(value, 1, 25)
    assert (verdict.state, verdict.delay_us, entry(verdict)) == (JobState.Completed, None, value)


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
    verdict = decide_result(value, 1, 25)
    assert verdict.state is JobState.Completed
    assert entry(verdict)[RESULT_NOT_STORED].startswith(why)
    assert str(result_refusal(entry(verdict))).startswith(why)


@pytest.mark.parametrize("result", [None, 1, {}, {"a": 1}, {RESULT_NOT_STORED: "x", "a": 1}])
def test_a_real_result_is_not_taken_for_a_refused_one(result: object) -> None:
    assert result_refusal(result) is None


def test_retry_after_waits_exactly_and_leaves_no_error() -> None:
    assert decide_result(RetryAfter(1.5), 1, 25) == Verdict(JobState.Retryable, 1_500_000, None)
    assert decide_result(RetryAfter(-5), 24, 25) == Verdict(JobState.Retryable, 0, None)


def test_retry_after_on_the_last_attempt_fails() -> None:
    verdict = decide_result(RetryAfter(1), 25, 25, now_us=NOW_US)
    assert (verdict.state, verdict.delay_us) == (JobState.Failed, None)
    assert entry(verdict) == {
        "error": "RetryAfter: no attempts left (25 of 25)",
        "type": "RetryAfter",
        "attempt": 25,
        "at": NOW,
    }


def test_snooze_puts_aside_even_on_the_last_attempt() -> None:
    assert decide_result(Snooze(0.000001), 25, 25) == Verdict(JobState.Scheduled, 1, None)


def test_cancel_says_why() -> None:
    verdict = decide_result(Cancel(), 2, 25, now_us=NOW_US)
    assert (verdict.state, verdict.delay_us) == (JobState.Cancelled, None)
    assert entry(verdict) == {"error": "cancelled: cancelled by handler", "type": "Cancel", "attempt": 2, "at": NOW}
    assert entry(decide_result(Cancel("no\0 stock \ud800"), 1, 1))["error"] == "cancelled: no\\x00 stock \\ud800"


@pytest.mark.parametrize("seconds", [math.nan, math.inf, DELAY_SECONDS_MAX + 1, "5", None])
@pytest.mark.parametrize("outcome", [RetryAfter, Snooze])
def test_a_delay_is_a_finite_number(outcome: Any, seconds: object) -> None:
    with pytest.raises(ValidationError, match=rf"{outcome.__name__}\(.*\): seconds must be a finite number"):
        outcome(seconds)


# What a handler raises


def test_an_error_is_retried_after_the_backoff() -> None:
    verdict = decide_error(raised(ValueError("bad input")), 3, 25, uniform=0.5, now_us=NOW_US)
    assert (verdict.state, verdict.delay_us) == (JobState.Retryable, delay_us(3, 0.5))
    assert entry(verdict).keys() == {"error", "type", "attempt", "at"}
    assert entry(verdict)["type"] == "ValueError"
    assert (entry(verdict)["attempt"], entry(verdict)["at"]) == (3, NOW)


@given(st.integers(1, 100), st.integers(1, 100))
def test_attempts_are_all_there_is_between_retryable_and_failed(attempt: int, max_attempts: int) -> None:
    verdict = decide_error(OSError("x"), attempt, max_attempts)
    assert (verdict.state is JobState.Failed) == (attempt >= max_attempts)
    assert (verdict.delay_us is None) == (verdict.state is JobState.Failed)
    assert "terminal" not in entry(verdict)


class NoSuchCustomer(TerminalError):
    pass


def test_a_terminal_error_fails_at_once_and_says_so() -> None:
    verdict = decide_error(raised(NoSuchCustomer("customer 7 is gone")), 1, 25)
    assert (verdict.state, verdict.delay_us) == (JobState.Failed, None)
    assert entry(verdict)["terminal"] is True
    assert entry(verdict)["error"].startswith("NoSuchCustomer: customer 7 is gone\n")


def test_the_caller_may_know_that_no_retry_helps() -> None:
    verdict = decide_error(TypeError("args do not fit"), 1, 25, terminal=True)
    assert (verdict.state, entry(verdict)["terminal"]) == (JobState.Failed, True)


@pytest.mark.parametrize("exc", [KeyboardInterrupt(), SystemExit(3)])
def test_exceptions_that_would_end_the_process_are_errors_of_the_job(exc: BaseException) -> None:
    assert decide_error(raised(exc), 1, 25).state is JobState.Retryable


# What is stored of an exception


def test_the_text_is_the_name_the_message_and_where_it_happened() -> None:
    head, place, source = describe(raised(ValueError("bad input"))).splitlines()
    assert head == "ValueError: bad input"
    assert place.startswith(f'  File "{__file__}", line ')
    assert place.endswith(", in raised")
    assert source == "    raise exc"


def test_a_nested_class_is_named_with_what_it_is_in() -> None:
    class Inner(Exception):
        pass

    assert describe(Inner("x")) == f"{Inner.__qualname__}: x"


def dive(depth: int) -> None:
    if depth == 0:
        raise ValueError("deep")
    dive(depth - 1)


def test_a_deep_traceback_keeps_its_last_ten_lines() -> None:
    with pytest.raises(ValueError, match="deep") as caught:
        dive(50)
    lines = describe(caught.value).splitlines()
    assert lines[:2] == ["ValueError: deep", "  [47 frames truncated]"]
    assert len(lines) == 12
    assert lines[-1] == '    raise ValueError("deep")'


def test_a_long_message_is_cut_and_the_traceback_survives() -> None:
    text = describe(raised(ValueError("ā" * 100_000)))
    assert f"… [cut: 200012 bytes, the first {ERROR_MESSAGE_BYTES_MAX} are kept]" in text
    assert text.endswith("    raise exc")
    assert len(text.encode()) < ERROR_MESSAGE_BYTES_MAX + ERROR_TRACEBACK_BYTES_MAX + 200


class Rude(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_an_exception_that_cannot_be_printed_is_still_recorded() -> None:
    assert describe(Rude()) == "Rude: <no message: __str__ raised RuntimeError>"


@given(st.text())
def test_whatever_the_message_the_entry_is_fit_for_jsonb(message: str) -> None:
    payload = decide_error(ValueError(message + "\0\ud800"), 1, 25).payload
    assert payload is not None
    assert "\0" not in json.loads(payload)["error"]
    assert json.loads(payload)["error"].encode()
    assert json.loads(payload)["error"].endswith("\\x00\\ud800")


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX only")
def test_source_in_a_file_whose_name_is_not_text() -> None:
    code = (
        "import awa.outcome as o\n"
        "try: exec(compile('1/0', b'\\xff.py'.decode(errors='surrogateescape'), 'exec'))\n"
        "except Exception as e: print(o.decide_error(e, 1, 2).payload.decode())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "\\udcff.py" in json.loads(done.stdout)["error"]
