"""PgQueuer: asyncio, asyncpg, one table; a finished job is deleted and leaves a row in a log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import asyncpg
from pgqueuer import PgQueuer as Manager
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from .protocol import PIECE, AsyncRival, body, main


class PgQueuer(AsyncRival):
    outstanding_sql = "select count(*) from pgqueuer"

    def __init__(self) -> None:
        super().__init__()
        self._queries: Queries | None = None

    async def queries(self) -> Queries:
        if self._queries is None:
            self._queries = await self._connect()
        return self._queries

    async def _connect(self) -> Queries:
        return Queries(AsyncpgDriver(await self._connection()))

    async def _connection(self) -> asyncpg.Connection:
        # Its parser prefers the host in the URL to the one in the parameters; others prefer it the other way round.
        url = urlsplit(self.dsn)
        where = dict(parse_qsl(url.query))
        return await asyncpg.connect(
            host=where["host"], port=int(where["port"]), user=url.username, database=url.path.lstrip("/")
        )

    async def aprepare(self) -> None:
        await (await self.queries()).install()

    async def abulk(self, numbers: Sequence[int]) -> None:
        queries = await self.queries()
        for at in range(0, len(numbers), PIECE):
            piece = numbers[at : at + PIECE]
            bodies: list[bytes | None] = [_packed(n) for n in piece]
            await queries.enqueue(["noop"] * len(piece), bodies, [0] * len(piece))

    async def ainserter(self) -> Callable[[int], Awaitable[Any]]:
        queries = await self._connect()
        return lambda n: queries.enqueue("noop", _packed(n))

    async def awork(self, until: asyncio.Event) -> None:
        manager = Manager.from_asyncpg_connection(await self._connection())
        run, burn_ns = self.marks.run, self.burn_ns

        @manager.entrypoint("noop")
        async def noop(job: Job) -> None:
            run(json.loads(job.payload or b"")["n"], burn_ns)

        running = asyncio.create_task(manager.run(batch_size=self.variant["batch_size"]))
        stopping = asyncio.create_task(until.wait())
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        manager.shutdown.set()
        await running


def _packed(n: int) -> bytes:
    return json.dumps(body(n)).encode()


if __name__ == "__main__":
    main(PgQueuer)
