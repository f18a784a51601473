"""Context managers around a handler: their order, and what becomes of errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import pytest

from awa.errors import ValidationError
from awa.task.registry import Registry
from awa.worker.hooks import within

Make = Callable[[Any], AbstractContextManager[Any]]


def noting(seen: list[str], name: str) -> Make:
    @contextmanager
    def make(job: str) -> Iterator[None]:
        seen.append(f"{name} in with {job}")
        try:
            yield
        except ValueError as error:
            seen.append(f"{name} saw {error}")
            raise
        finally:
            seen.append(f"{name} out")

    return make


def fail(why: str = "why") -> None:
    raise ValueError(why)


def test_the_first_is_the_outermost() -> None:
    seen: list[str] = []
    assert within([noting(seen, "a"), noting(seen, "b")], "job", lambda: seen.append("call") or 7) == 7  # type: ignore[func-returns-value]
    assert seen == ["a in with job", "b in with job", "call", "b out", "a out"]


def test_errors_pass_through_all_of_them() -> None:
    seen: list[str] = []
    with pytest.raises(ValueError, match="why"):
        within([noting(seen, "a"), noting(seen, "b")], "job", fail)
    assert seen[2:] == ["b saw why", "b out", "a saw why", "a out"]


def test_one_that_cannot_be_entered_is_seen_by_those_around_it() -> None:
    seen: list[str] = []
    with pytest.raises(ValueError, match="no entry"):
        within([noting(seen, "a"), lambda job: fail("no entry"), noting(seen, "c")], "job", fail)  # type: ignore[func-returns-value]
    assert seen == ["a in with job", "a saw no entry", "a out"]


def test_an_error_that_is_swallowed_is_raised_all_the_same() -> None:
    seen: list[str] = []
    with pytest.raises(ValueError, match="why"):
        within([noting(seen, "a"), lambda job: suppress(ValueError)], "job", fail)
    assert seen == ["a in with job", "a saw why", "a out"]


def test_another_error_may_take_its_place() -> None:
    @contextmanager
    def instead(job: Any) -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise LookupError("instead") from error

    with pytest.raises(LookupError, match="instead"):
        within([instead], "job", fail)


async def coroutine(job: Any) -> None:
    """Nobody would await it."""


@pytest.mark.parametrize("given", [None, 7, coroutine])
def test_what_cannot_be_called_is_refused(given: Any) -> None:
    registry = Registry()
    with pytest.raises(ValidationError, match="around_jobs takes a function"):
        registry.add_around(given)
    with pytest.raises(ValidationError, match="on_worker_start takes a function"):
        registry.add_start(given)
