"""Unique keys: the golden vectors, what each option does to the key, and what unique_opts are refused for."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

import awa
from awa import JobState, ValidationError
from awa.job.codec import encode_args
from awa.job.codec.canonical import canonical
from awa.job.unique import STATES_DEFAULT, UniqueOptions, check_unique, key_for

A = {"to": "a@b.com", "subject": "Hi"}
NO_ARGS = {"by_args": False}
GOLDEN: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("send_email", {"to": "a@b.com"}, {}, "ef8febabb370bd83c515cf9f8e9c3600"),
    ("send_email", A, {}, "917d72099c79c6dd28577111373d14be"),
    ("send_email", A, NO_ARGS, "bee8bfbcd9d48e51f79059a523039018"),
    ("send_email", A, {"by_queue": True}, "761070de5e4d1120811da0eb09ebdd75"),
    ("send_email", A, {**NO_ARGS, "by_queue": True}, "a326b142ec53a9b541ea066fb47dcb9d"),
    ("send_email", A, {"by_queue": True, "by_period": 1000}, "2a059b74657eca6628b686c6bca480f1"),
    ("send_email", A, {**NO_ARGS, "by_period": -1}, "6e15c706e4637d5042bfd4c63b57223d"),
    ("k", {}, {}, "d9ab253fc7fdc32c6955ee47bd2a1d20"),
    ("k", {"emoji": "🎉🚀", "cjk": "日本語テスト"}, {}, "fa980b5bd1da51a93212b865f7706622"),
    ("k", {"é": 1, "z": 2, "Z": 3, "a": 4, "😀": 5, "\ufffd": 6}, {}, "1aa6928dd705254567099d444c94d08c"),
    ("k", {"n": {"b": [1, 2, {"y": None, "x": True}], "a": False}}, {}, "d54bb4f8ecb0aa8864aaf2fba1705084"),
    ("k", {"i": 0, "neg": -5, "big": 2**63 - 1, "min": -(2**63)}, {}, "75d15883a4e26fb4a1826aa348f7b0c8"),
    ("k", {"f": 1.0}, {}, "cac1ade51df8dd7418a45ffa8199e24e"),
    ("k", {"f": 0.1}, {}, "b2a6ef55755d45f3e8970370aa8780e4"),
    ("k", {"f": 1e16}, {}, "257b6bbb335e601df94992360a67ddfd"),
    ("k", {"f": 1e-5}, {}, "fbffe6df6ed5247963b1f9f50768234b"),
    ("k", {"f": 1e-6}, {}, "ce5ccc2eaa4189cae7849ccbf9de45df"),
    ("k", {"f": -0.0}, {}, "6212312c6b4e8221d881ffb5ebafafcb"),
    ("k", {"f": 5e-324}, {}, "77b3f719b8187805183b26cfebebf81a"),
]
BEYOND_JSON_OF_OURS = [
    ({"f": 2**63}, "1a4fe18edbc5c5256af0f7cb06525ef3"),
    ({"f": math.nan}, "19fc9d9d08528c5b0e4e3123b1bc3c77"),
]
"""Args that we refuse to insert, and that other producers may have inserted."""


def options(**unique_opts: Any) -> UniqueOptions:
    checked = check_unique(unique_opts)
    assert checked is not None
    return checked


def key(kind: str, args: Any, queue: str = "email", **unique_opts: Any) -> bytes:
    return key_for(kind, queue, encode_args(args), options(**unique_opts))


@pytest.mark.parametrize(("kind", "args", "unique_opts", "expected"), GOLDEN)
def test_golden_vectors(kind: str, args: dict[str, Any], unique_opts: dict[str, Any], expected: str) -> None:
    assert key(kind, args, **unique_opts).hex() == expected


@pytest.mark.parametrize(("kind", "args", "unique_opts", "expected"), GOLDEN)
def test_the_public_function_makes_the_same_keys(
    kind: str, args: dict[str, Any], unique_opts: dict[str, Any], expected: str
) -> None:
    made = awa.unique_key(
        kind,
        args if unique_opts.get("by_args", True) else None,
        queue="email" if unique_opts.get("by_queue") else None,
        period=unique_opts.get("by_period"),
    )
    assert made.hex() == expected


@pytest.mark.parametrize(("args", "expected"), BEYOND_JSON_OF_OURS)
def test_golden_vectors_of_args_that_come_from_elsewhere(args: Any, expected: str) -> None:
    assert blake3(b"k\0" + canonical(args)).digest(length=16).hex() == expected


def test_an_integer_beyond_64_bits_is_hashed_as_other_producers_do() -> None:
    assert key_for("k", "q", b'{"f":9223372036854775808}', options()).hex() == BEYOND_JSON_OF_OURS[0][1]


def test_chosen_args_make_the_key_of_the_object_that_has_only_these() -> None:
    args = {"user_id": 7, "at": 1.5, "note": "x"}
    both = key("k", args, by_args=["user_id", "at"])
    assert both == key("k", args, by_args=("at", "user_id")) == key("k", {"at": 1.5, "user_id": 7})
    assert both == awa.unique_key("k", {"user_id": 7, "at": 1.5})
    assert both == key("k", {**args, "note": "another"}, by_args=["user_id", "at"])
    assert both != key("k", args)


def test_a_chosen_arg_that_is_null_is_there() -> None:
    assert key("k", {"a": None, "b": 1}, by_args=["a"]) == key("k", {"a": None})


def test_a_chosen_arg_that_is_not_there_is_named() -> None:
    with pytest.raises(ValidationError, match="by_args names 'user_id', which is not among the args .* note, user$"):
        key("k", {"user": 7, "note": "x"}, by_args=["user_id"])
    with pytest.raises(ValidationError, match="none at all"):
        key("k", {}, by_args=["user_id"])


def test_typed_args_have_the_key_of_their_json() -> None:
    @dataclass
    class Report:
        name: str
        every: timedelta

    assert awa.unique_key("report", Report("a", timedelta(days=1))) == key("report", {"every": "P1D", "name": "a"})


@pytest.mark.parametrize("args", [[1], "text", {"a": {1}}, {"a": math.nan}, {"f": 2**63}])
def test_the_public_function_refuses_args_that_no_job_can_have(args: Any) -> None:
    with pytest.raises(ValidationError, match="args"):
        awa.unique_key("k", args)


def test_the_public_function_refuses_what_is_no_name() -> None:
    with pytest.raises(ValidationError, match="kind is ''; it must be text"):
        awa.unique_key("")
    with pytest.raises(ValidationError, match="kind is 5; it must be text"):
        awa.unique_key(5)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="queue is ''; it must be text"):
        awa.unique_key("k", queue="")
    with pytest.raises(ValidationError, match="queue .* lone surrogate"):
        awa.unique_key("k", queue="a\ud800")
    with pytest.raises(ValidationError, match=r"^period is True"):
        awa.unique_key("k", period=True)


def test_a_period_of_the_public_function_may_be_a_timedelta() -> None:
    day = timedelta(days=365_000)  # the first such period lasts until the year 2969
    assert awa.unique_key("k", period=day) == awa.unique_key("k", period=0) != awa.unique_key("k")


@given(st.text(min_size=1), st.text(min_size=1), st.dictionaries(st.text(), st.integers(-9, 9)), st.integers(-9, 9))
def test_each_option_adds_its_part(kind: str, queue: str, args: dict[str, int], period: int) -> None:
    raw = json.dumps(args).encode()
    parts = [
        (kind.encode(), {}),
        (b"\0" + queue.encode(), {"by_queue": True}),
        (b"\0" + canonical(args), {"by_args": True}),
        (b"\0" + period.to_bytes(8, "little", signed=True), {"by_period": period}),
    ]
    for chosen in range(8):
        picked = [parts[0], *(part for at, part in enumerate(parts[1:]) if chosen >> at & 1)]
        unique_opts: dict[str, Any] = {"by_args": False}
        for _, option in picked:
            unique_opts.update(option)
        whole = b"".join(part for part, _ in picked)
        assert key_for(kind, queue, raw, options(**unique_opts)) == blake3(whole).digest()[:16]


# What unique_opts may say


def test_nothing_said_means_no_key_and_an_empty_dict_the_defaults() -> None:
    assert check_unique(None) is None
    assert options() == UniqueOptions(False, True, None, STATES_DEFAULT, None)
    assert STATES_DEFAULT == 0b10011111


def test_all_that_can_be_said() -> None:
    said = options(by_queue=True, by_args=["a", "b"], by_period=-3, states=0b110, on_conflict="replace")
    assert said == UniqueOptions(True, ("a", "b"), -3, 0b110, "replace")
    assert options(by_period=None, on_conflict=None) == options()


def test_states_may_be_listed() -> None:
    unended = [JobState.Available, "running", JobState.Scheduled, "retryable", "waiting_external"]
    assert options(states=unended).states == 0b10010111
    assert options(states={"failed"}).states == 1 << JobState.Failed == 0b100000
    assert options(states=iter(JobState)).states == 0xFF
    assert options(states=255).states == 255


@pytest.mark.parametrize(
    ("period", "now", "number"),
    [
        (timedelta(minutes=1), 119.999, 1),
        (timedelta(minutes=1), 120.0, 2),
        (timedelta(days=1), 1_700_000_000.5, 1_700_000_000 // 86_400),
        (timedelta(milliseconds=100), 0.3, 3),
        (timedelta(microseconds=1), 1.0, 1_000_000),
    ],
)
def test_a_timedelta_means_the_period_we_are_in(period: timedelta, now: float, number: int) -> None:
    checked = check_unique({"by_period": period}, now=now)
    assert checked is not None
    assert checked.by_period == number


def test_a_period_goes_by_the_clock_of_this_machine() -> None:

    before = int(time.time())
    number = options(by_period=timedelta(seconds=1)).by_period
    assert number is not None
    assert before <= number <= int(time.time())


@pytest.mark.parametrize(
    ("unique_opts", "message"),
    [
        (["by_args"], "unique_opts is of type list; it must be a dict with any of the keys by_queue, by_args"),
        (True, "unique_opts is of type bool; it must be a dict"),
        ({"by_arg": True}, "unknown key 'by_arg'; did you mean by_args\\?$"),
        ({"state": 1}, "unknown key 'state'; did you mean states\\?$"),
        ({"xyzzy": 1}, "unknown key 'xyzzy'; there are by_queue, by_args, by_period, states, on_conflict$"),
        ({1: 1}, "unknown key 1; there are"),
        ({"by_queue": "email"}, "by_queue is 'email'; it must be True or False"),
        ({"by_queue": None}, "by_queue is None"),
        ({"by_args": None}, "by_args is None; it must be True, False, or a list of names"),
        ({"by_args": 1}, "by_args is 1; it must be True, False, or a list of names"),
        ({"by_args": "user_id"}, "by_args is 'user_id'; it must be .*: \\['user_id'\\]"),
        ({"by_args": []}, "by_args is an empty list; .* say False"),
        ({"by_args": ["a", 1]}, "by_args is \\['a', 1\\]; it must be"),
        ({"by_args": {"a": 1}}, "by_args is {'a': 1}; it must be"),
        ({"by_args": ["a", "b", "a"]}, "by_args names 'a' twice"),
        ({"by_period": True}, "unique_opts by_period is True; it must be None, a timedelta, or the number"),
        ({"by_period": 1.5}, "by_period is 1.5; it must be None"),
        ({"by_period": "day"}, "by_period is 'day'; it must be None"),
        ({"by_period": timedelta()}, "by_period is datetime.timedelta\\(0\\); a period must be longer than nothing"),
        ({"by_period": timedelta(days=-1)}, "a period must be longer than nothing"),
        ({"states": True}, "states is True; it must be a mask .* or a list of states"),
        ({"states": "running"}, "states is 'running'; it must be a mask .* or a list"),
        ({"states": None}, "states is None; it must be a mask"),
        ({"states": 1.0}, "states is 1.0; it must be a mask"),
        ({"states": 0}, "states is 0; a job must hold its key in one state at least: 1 to 255"),
        ({"states": []}, "states is \\[\\]; a job must hold its key in one state"),
        ({"states": -1}, "states is -1; a job must hold its key in one state"),
        ({"states": JobState.Completed}, "states is JobState.Completed; put it in a list: \\[JobState.Completed\\]"),
        ({"states": ["runing"]}, "states holds 'runing'; expected one of: scheduled, available, running, completed"),
        ({"states": [1]}, "states holds 1; expected one of: scheduled"),
        ({"states": [["running"]]}, "states holds \\['running'\\]; expected one of"),
        ({"on_conflict": "raise"}, "on_conflict is 'raise'; it must be one of: error, skip, replace$"),
        ({"on_conflict": ["skip"]}, "on_conflict is \\['skip'\\]; it must be one of"),
    ],
)
def test_refusals(unique_opts: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        check_unique(unique_opts)


@pytest.mark.parametrize(
    ("unique_opts", "message"),
    [
        ({"states": 256}, "states is a mask of 9 bits; there are 8 states: at most 255"),
        ({"states": 10**5000}, "states is a mask of 16610 bits"),
        ({"by_period": 2**63}, "by_period has 64 bits; it must be from -9223372036854775808 to 9223372036854775807"),
        ({"by_period": -(2**63) - 1}, "by_period has 64 bits"),
    ],
)
def test_numbers_with_too_many_bits(unique_opts: Any, message: str) -> None:
    with pytest.raises(OverflowError, match=message):
        check_unique(unique_opts)
