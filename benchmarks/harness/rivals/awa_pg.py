"""awa-pg, the runtime in Rust with handlers in Python: one runtime a process, `async def` handlers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from awa import AsyncClient

from .protocol import AsyncRival, body, main


class AwaPg(AsyncRival):
    # Its own answers (the view awa.jobs, `queue_stats`) took up to half a minute for a few thousand jobs, which would
    # have been counted against it. These tables lose the jobs of a slot all at once, so the difference holds.
    outstanding_sql = """
        select (select count(*) from awa.ready_entries) + (select count(*) from awa.deferred_jobs)
               - (select coalesce(sum(completed_count), 0) from awa.receipt_completion_batches)
               - (select count(*) from awa.done_entries)"""

    def __init__(self) -> None:
        super().__init__()
        self._client: AsyncClient | None = None

    @property
    def client(self) -> AsyncClient:
        if self._client is None:
            self._client = AsyncClient(self.dsn)
        return self._client

    async def aprepare(self) -> None:
        await self.client.migrate()
        await self.client.install_queue_storage()

    async def abulk(self, numbers: Sequence[int]) -> None:
        await self.client.enqueue_many_copy([body(n) for n in numbers], kind="noop")

    async def ainserter(self) -> Callable[[int], Awaitable[Any]]:
        client = AsyncClient(self.dsn, max_connections=1)
        return lambda n: client.insert(body(n), kind="noop")

    async def awork(self, until: asyncio.Event) -> None:
        client, run, burn_ns = AsyncClient(self.dsn, max_connections=20), self.marks.run, self.burn_ns

        @client.task(dict, kind="noop")
        async def noop(job: Any) -> None:
            run(job.args["n"], burn_ns)

        await client.start([("default", self.variant["max_workers"])])
        await until.wait()
        await client.shutdown()


if __name__ == "__main__":
    main(AwaPg)
