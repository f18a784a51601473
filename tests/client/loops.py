"""Asynchronous tests: each on an event loop of its own."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from time import monotonic
from typing import Any, ParamSpec

import psycopg

from tests.fixtures.waiting import PATIENCE_S, POLL_SECONDS_MIN

P = ParamSpec("P")


def on_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a test of a coroutine."""

    @wraps(test)
    def call(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return call


async def until(predicate: Callable[[], Any], timeout: float = PATIENCE_S, message: str = "") -> Any:
    """Let the loop run until the predicate, which may be a coroutine function, says something true; return that."""
    deadline = monotonic() + timeout
    while True:
        value = predicate()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        assert monotonic() < deadline, f"not within {timeout} s: {message or predicate}"
        await asyncio.sleep(POLL_SECONDS_MIN)


def waiting_for_a_lock(onlooker: psycopg.Connection[Any]) -> int:
    """Return how many backends of this database wait for a lock."""
    row = onlooker.execute(
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    ).fetchone()
    assert row is not None
    return int(row[0])


def busy(onlooker: psycopg.Connection[Any]) -> int:
    """Return how many other backends of this database run a statement or are in a transaction."""
    row = onlooker.execute(
        "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() "
        "and state <> 'idle'"
    ).fetchone()
    assert row is not None
    return int(row[0])
