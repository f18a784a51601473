"""Procrastinate: asyncio, psycopg, one table with a status and a table of events kept by triggers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from procrastinate import App, PsycopgConnector

from .protocol import PIECE, AsyncRival, body, main


class Procrastinate(AsyncRival):
    outstanding_sql = "select count(*) from procrastinate_jobs where status in ('todo', 'doing')"

    def __init__(self) -> None:
        super().__init__()
        self._app: App | None = None

    async def app(self, **pool: Any) -> App:
        app = App(connector=PsycopgConnector(conninfo=self.dsn, **pool))
        run, burn_ns = self.marks.run, self.burn_ns

        @app.task(name="noop")
        async def noop(n: int, text: str) -> None:
            run(n, burn_ns)

        await app.open_async()
        return app

    async def aprepare(self) -> None:
        self._app = await self.app()
        await self._app.schema_manager.apply_schema_async()

    async def abulk(self, numbers: Sequence[int]) -> None:
        if self._app is None:
            self._app = await self.app()
        for at in range(0, len(numbers), PIECE):
            await self._app.configure_task("noop").batch_defer_async(*(body(n) for n in numbers[at : at + PIECE]))

    async def ainserter(self) -> Callable[[int], Awaitable[Any]]:
        app = await self.app(min_size=1, max_size=1)
        return lambda n: app.configure_task("noop").defer_async(**body(n))

    async def awork(self, until: asyncio.Event) -> None:
        app = await self.app()
        running = asyncio.create_task(
            app.run_worker_async(concurrency=self.variant["concurrency"], install_signal_handlers=False)
        )
        stopping = asyncio.create_task(until.wait())
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        running.cancel()
        await asyncio.wait((running,))
        await app.close_async()


if __name__ == "__main__":
    main(Procrastinate)
