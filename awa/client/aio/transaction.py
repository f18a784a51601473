"""A transaction of an asynchronous client: jobs and the application's own rows, both or neither."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

import psycopg
from psycopg.rows import dict_row

from awa.client.aio.wrapper import AsyncWrapper, coroutine
from awa.database.aio.connection import shim_of
from awa.enqueue.transaction import Row, SyncTransaction
from awa.errors import AwaError

P = ParamSpec("P")
T = TypeVar("T")


class ShimTransaction(SyncTransaction):
    """The synchronous transaction behind an asynchronous one, run in greenlets."""

    @property
    def begun(self) -> psycopg.AsyncConnection[Any]:
        """The connection, without beginning for it, since that has to be waited for."""
        self._refuse_ended()
        if self._connection is None:
            raise AwaError("this transaction has not begun, so it has no connection yet: begin it with `async with`")
        return shim_of(self._connection).asynchronous

    def _block(self, connection: psycopg.Connection[Any]) -> AbstractContextManager[Any]:
        return shim_of(connection).block()

    def _cursor(self, connection: psycopg.Connection[Any], *, is_raw: bool) -> psycopg.Cursor[Row]:
        cursor = shim_of(connection).cursor(row_factory=dict_row, is_raw=is_raw)
        return cast("psycopg.Cursor[Row]", cursor)


class Transaction(AsyncWrapper[ShimTransaction]):
    """One transaction. As a context manager it commits at the end of the block, or rolls back when that raises.

        async with client.transaction() as tx:
            order = await tx.fetch_one("insert into orders (item) values ($1) returning id", "kayak")
            await tx.insert(ShipOrder(order["id"]))

    Used without `async with` it begins at its first statement; end it with `commit()` or `rollback()`. On a client made
    from a connection that is in a transaction already it is a savepoint there. Placeholders, parameters and rows are
    those of `SyncTransaction`. Tasks that share a transaction take turns.
    """

    def __init__(self, synchronous: ShimTransaction) -> None:
        super().__init__(synchronous)
        self._turn = asyncio.Lock()

    @property
    def connection(self) -> psycopg.AsyncConnection[Any]:
        """The psycopg connection the transaction runs on, once it has begun; end the transaction here, not there."""
        return self._synchronous.begun

    execute = coroutine(SyncTransaction.execute)
    fetch_one = coroutine(SyncTransaction.fetch_one)
    fetch_optional = coroutine(SyncTransaction.fetch_optional)
    fetch_all = coroutine(SyncTransaction.fetch_all)
    insert = coroutine(SyncTransaction.insert)
    insert_many = coroutine(SyncTransaction.insert_many)
    commit = coroutine(SyncTransaction.commit)
    rollback = coroutine(SyncTransaction.rollback)

    def __await__(self) -> Generator[Any, None, Transaction]:
        """Return the transaction itself: `async with await client.transaction()` is the same as without `await`."""
        yield from ()  # there is nothing to wait for: it begins at its first statement
        return self

    async def __aenter__(self) -> Transaction:
        await self._run(self._synchronous.__enter__)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._run(self._synchronous.__exit__, kind, error, trace)

    async def _run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        async with self._turn:
            return await super()._run(function, *args, **kwargs)
