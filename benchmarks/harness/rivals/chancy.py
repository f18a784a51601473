"""Chancy: asyncio, psycopg, one table; jobs run in the worker's event loop or in a pool of processes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from chancy import Chancy as App
from chancy import Job, Queue, Worker

from .marks import from_environment
from .protocol import PIECE, AsyncRival, body, main

QUEUE = "bench"


async def noop(n: int, text: str, burn_ns: int = 0) -> None:
    _marks.run(n, burn_ns)


class Chancy(AsyncRival):
    outstanding_sql = "select count(*) from chancy_jobs where state not in ('succeeded', 'failed')"

    def __init__(self) -> None:
        super().__init__()
        self._app: App | None = None

    async def app(self) -> App:
        if self._app is None:
            log = logging.getLogger("chancy")
            log.setLevel(logging.WARNING)
            self._app = App(self.dsn, log=log)
            await self._app.__aenter__()
        return self._app

    def _job(self, n: int) -> Job:
        return Job(func=f"{noop.__module__}.noop", kwargs=body(n), queue=QUEUE)

    async def aprepare(self) -> None:
        await (await self.app()).migrate()

    async def abulk(self, numbers: Sequence[int]) -> None:
        app = await self.app()
        async for _ in app.push_many([self._job(n) for n in numbers], batch_size=PIECE):
            pass

    async def ainserter(self) -> Callable[[int], Awaitable[Any]]:
        app = App(self.dsn, min_connection_pool_size=1, max_connection_pool_size=1, log=logging.getLogger("chancy"))
        await app.__aenter__()
        return lambda n: app.push(self._job(n))

    def before_start(self) -> None:
        self.wait(self._declare())

    async def _declare(self) -> None:
        queue = Queue(QUEUE, concurrency=self.variant["concurrency"], executor=App.Executor.Async, eager_polling=True)
        await (await self.app()).declare(queue, upsert=True)

    async def awork(self, until: asyncio.Event) -> None:
        async with Worker(await self.app(), register_signal_handlers=False):
            await until.wait()


_marks = from_environment()

if __name__ == "__main__":
    main(Chancy)
