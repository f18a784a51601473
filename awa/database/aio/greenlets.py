"""Synchronous code whose waiting is done by an event loop.

`run` calls a function in a greenlet: a stack of its own, which can be left in the middle and entered again. Wherever
the function, or anything it calls, has to wait for the server, it calls `await_`. That leaves its stack for the
coroutine that runs it, which awaits in its place and comes back with the result, or with the exception. So one engine
serves both kinds of callers. SQLAlchemy does the same.

A cancelled task is nothing special: the exception comes out of `await_`, the code on the stack cleans up, and may wait
for the server once more while it does.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from greenlet import getcurrent, greenlet

P = ParamSpec("P")
T = TypeVar("T")


class _Stack(greenlet):  # type: ignore[misc]  # greenlet has no types
    """A stack that a coroutine of `run` looks after."""


async def run(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that waits by `await_`; return what it returns."""
    stack = _Stack(partial(function, *args, **kwargs))
    stack.gr_context = getcurrent().gr_context  # the same context variables, not copies: it is the same task
    wanted = stack.switch()
    while not stack.dead:
        try:
            got = await wanted
        except GeneratorExit:
            _abandon(stack, wanted)
            raise
        except BaseException as error:  # noqa: BLE001 - it is raised there
            wanted = stack.throw(error)
        else:
            wanted = stack.switch(got)
    result: T = wanted
    return result


def await_(awaitable: Awaitable[T]) -> T:
    """Wait for something, in a function that is called by `run`."""
    stack = getcurrent()
    if not isinstance(stack, _Stack):
        _drop(awaitable)
        raise RuntimeError("there is no coroutine to wait in: this is reached through awa.AsyncClient only")
    result: T = stack.parent.switch(awaitable)
    return result


class Entered(AbstractContextManager[T]):
    """An asynchronous context manager as a synchronous one, in a function that is called by `run`."""

    def __init__(self, manager: AbstractAsyncContextManager[T, Any]) -> None:
        self._manager = manager

    def __enter__(self) -> T:
        return await_(self._manager.__aenter__())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        result: bool | None = await_(self._manager.__aexit__(kind, error, trace))
        return result


def _abandon(stack: greenlet, wanted: Awaitable[Any]) -> None:
    """End a stack whose coroutine was thrown away, as by a loop that is gone: it will wait for nothing again."""
    while True:
        _drop(wanted)
        try:
            wanted = stack.throw(GeneratorExit())
        except GeneratorExit:
            return
        if stack.dead:
            return


def _drop(awaitable: Awaitable[Any]) -> None:
    """A coroutine that is never awaited warns unless it is closed."""
    if inspect.iscoroutine(awaitable):
        awaitable.close()
