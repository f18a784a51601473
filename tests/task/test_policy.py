"""The options of a task: what is accepted, what is refused, and what they decide."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awa import ValidationError
from awa.backoff import DEFAULT, PRESETS, constant, delay_us, linear
from awa.job.validate import check_timeout
from awa.task.policy import Policy, check_policy
from awa.task.registry import Registry


class Lost(OSError):
    pass


def halves(attempt: int) -> float:
    return 0.5 * attempt


def test_with_no_options_there_are_the_defaults() -> None:
    assert check_policy() == Policy()
    policy = Policy()
    assert (policy.timeout_s, policy.grace_s, policy.max_attempts) == (None, 10, None)
    assert (policy.retry_on, policy.give_up_on) == (None, ())
    assert (policy.raise_on_cancel, policy.memory_limit_mb) == (False, None)


def test_options_arrive_in_the_task() -> None:
    task = Registry().add(
        print,
        None,
        "k",
        "q",
        timeout=1.5,
        grace=0,
        max_attempts=3,
        backoff=halves,
        retry_on=OSError,
        give_up_on=[Lost, KeyError],
        raise_on_cancel=True,
        memory_limit_mb=512,
    )
    assert task.policy == Policy(1.5, 0.0, 3, halves, (OSError,), (Lost, KeyError), True, 512)


async def coroutine(attempt: int) -> float:
    return 1


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"timeout": -1}, "timeout is -1; it must be a number of seconds from 0 to"),
    ({"timeout": math.nan}, "timeout is nan"),
    ({"timeout": math.inf}, "timeout is inf"),
    ({"timeout": 1e9}, "timeout is 1000000000.0"),
    ({"timeout": "5"}, "timeout is '5'"),
    ({"timeout": True}, "timeout is True"),
    ({"grace": None}, "grace is None"),
    ({"grace": -0.5}, "grace is -0.5; it must be a number of seconds from 0 to 86400"),
    ({"grace": math.nan}, "grace is nan"),
    ({"grace": 86_401}, "grace is 86401"),
    ({"max_attempts": 0}, "max_attempts is 0; it must be a whole number from 1 to 1000"),
    ({"max_attempts": 1001}, "max_attempts is 1001"),
    ({"max_attempts": 2.0}, "max_attempts is 2.0"),
    ({"max_attempts": True}, "max_attempts is True"),
    ({"max_attempts": 10**30}, "max_attempts is 1000"),
    ({"backoff": 5}, "backoff is 5; it must be a preset"),
    ({"backoff": "sometimes"}, "backoff is 'sometimes'"),
    ({"backoff": lambda: 1}, "function of one argument"),
    ({"backoff": lambda attempt, error: 1}, "function of one argument"),
    ({"backoff": coroutine}, "function of one argument"),
    ({"retry_on": "OSError"}, "retry_on has 'OSError' in it; it must be a list of exception classes"),
    ({"retry_on": [OSError, int]}, "retry_on has <class 'int'> in it"),
    ({"retry_on": OSError("x")}, r"retry_on has OSError\('x'\) in it"),
    ({"retry_on": 5}, "retry_on has 5 in it"),
    ({"give_up_on": [None]}, "give_up_on has None in it"),
    ({"give_up_on": list[int]}, "give_up_on has .* in it"),
    ({"raise_on_cancel": 1}, "raise_on_cancel is 1; it must be True or False"),
    ({"memory_limit_mb": 0}, "memory_limit_mb is 0; it must be a whole number from 1 to"),
    ({"memory_limit_mb": 0.5}, "memory_limit_mb is 0.5"),
]


@pytest.mark.parametrize(("options", "text"), REFUSED)
def test_what_is_refused_is_named_with_its_limits(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        check_policy(**options)


def test_an_option_there_is_not_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="timout"):
        Registry().add(print, None, "k", "q", timout=5)


@pytest.mark.parametrize(
    ("seconds", "ms"), [(None, None), (0, 0), (0.0, 0), (1e-9, 1), (0.001, 1), (1.5, 1500), (3600, 3_600_000)]
)
def test_a_time_limit_is_never_rounded_to_none_at_all(seconds: float | None, ms: int | None) -> None:
    assert check_timeout(seconds) == ms


@given(st.floats(0, 2_147_483))
def test_any_time_limit_fits_its_column(seconds: float) -> None:
    ms = check_timeout(seconds)
    assert ms is not None
    assert seconds <= ms / 1000 + 1e-6
    assert ms <= 2**31 - 1


@pytest.mark.parametrize(
    ("policy", "gives_up"),
    [
        (Policy(), []),
        (Policy(retry_on=(OSError,)), [ValueError, KeyboardInterrupt]),
        (Policy(retry_on=()), [OSError, Lost, ValueError, KeyboardInterrupt]),
        (Policy(give_up_on=(OSError,)), [OSError, Lost]),
        (Policy(retry_on=(OSError,), give_up_on=(Lost,)), [Lost, ValueError, KeyboardInterrupt]),
        (Policy(retry_on=(BaseException,)), []),
    ],
)
def test_which_exceptions_are_retried(policy: Policy, gives_up: list[type[BaseException]]) -> None:
    every = [OSError, Lost, ValueError, KeyboardInterrupt]
    assert [each for each in every if policy.gives_up_on(each())] == gives_up


class Liar(type):
    def __instancecheck__(cls, instance: object) -> bool:
        raise RuntimeError("no")

    __subclasscheck__ = __instancecheck__


class Lied(Exception, metaclass=Liar):
    pass


def test_classes_match_as_in_an_except_clause() -> None:
    """By inheritance alone: code of the classes does not run."""
    policy = check_policy(give_up_on=Lied)
    assert policy.gives_up_on(Lied())
    assert not policy.gives_up_on(ValueError())


@pytest.mark.parametrize(
    ("backoff", "us"),
    [
        (None, 4_000_000),
        ("exponential", 4_000_000),
        ("linear", 20_000_000),
        ("constant", 60_000_000),
        (linear(1, 2), 3_000_000),
        (halves, 1_000_000),
        (lambda attempt, *more: attempt, 2_000_000),
        (lambda attempt: 0, 0),
        (float, 2_000_000),
    ],
)
def test_the_delay_is_that_of_the_backoff(backoff: Any, us: int) -> None:
    assert check_policy(backoff=backoff).delay_us(2, 0.0) == us


def test_presets_have_jitter_and_functions_bring_their_own() -> None:
    assert check_policy().delay_us(3, 0.5) == delay_us(3, 0.5) == 9_000_000
    assert check_policy(backoff=halves).delay_us(3, 0.5) == 1_500_000
    assert PRESETS["exponential"] is DEFAULT
    assert check_policy(backoff=constant(5, jitter=1)).delay_us(3, 0.5) == 7_500_000


NONSENSE = [None, "5", -1, -1e-9, math.nan, math.inf, -math.inf, 1e300, 10**400, True, [], object(), 2j]


@pytest.mark.parametrize("value", NONSENSE)
def test_what_is_no_number_of_seconds_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError, match="for attempt 7, which is no number of seconds from 0 to 3162240000"):
        check_policy(backoff=lambda attempt: value).delay_us(7, 0.0)


def test_a_partial_method_or_callable_object_will_do() -> None:
    class Object:
        def __call__(self, attempt: int) -> float:
            return 7

        def method(self, attempt: int) -> float:
            return 8

    functions: list[Callable[[int], float]] = [Object(), Object().method]
    assert [check_policy(backoff=each).delay_us(1, 0.0) for each in functions] == [7_000_000, 8_000_000]


@dataclass
class Unhashable:
    seconds: float

    def __call__(self, attempt: int) -> float:
        return self.seconds


def test_a_policy_can_be_a_key_whatever_its_backoff() -> None:
    known = {check_policy(backoff=Unhashable(1)): 1, check_policy(backoff=linear(5)): 2}
    assert known[check_policy(backoff=Unhashable(1))] == 1
    assert known[check_policy(backoff=linear(5))] == 2
    assert check_policy(backoff=Unhashable(2)) not in known
    assert check_policy(backoff=linear(6)) not in known
