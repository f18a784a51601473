"""Coroutines made from synchronous methods: what they do, take and say is written once."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from awa.database.aio.greenlets import run

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)


class AsyncWrapper(Generic[S_co]):
    """An object whose coroutines are the methods of a synchronous one."""

    def __init__(self, synchronous: S_co) -> None:
        self._synchronous = synchronous

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await run(function, *args, **kwargs)


def coroutine(
    method: Callable[Concatenate[S, P], T],
) -> Callable[Concatenate[AsyncWrapper[S], P], Coroutine[Any, Any, T]]:
    """Return a method as a coroutine of the wrapper, with its signature and docstring."""

    @wraps(method)
    async def call(self: AsyncWrapper[S], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(method, self._synchronous, *args, **kwargs)

    return call


def same(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[AsyncWrapper[S], P], T]:
    """Return a method that waits for nothing, as a method of the wrapper."""

    @wraps(method)
    def call(self: AsyncWrapper[S], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return method(self._synchronous, *args, **kwargs)

    return call
