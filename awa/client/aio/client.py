"""`AsyncClient`: what an application holds whose own code is asynchronous. Handlers run in the supervisor's workers."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from awa.client.aio.transaction import ShimTransaction, Transaction
from awa.client.aio.wrapper import AsyncWrapper, coroutine, same
from awa.client.client import Client
from awa.database.aio.awaited import awaited
from awa.database.aio.greenlets import await_
from awa.database.aio.source import async_source_of
from awa.database.source import Source
from awa.engine.insert.single import Execute
from awa.job.codec import BYTES_MAX
from awa.task.registry import Registry

if TYPE_CHECKING:
    import psycopg
    from psycopg_pool import AsyncConnectionPool


class _ShimClient(Client):
    """The synchronous client behind an asynchronous one, run in greenlets."""

    def transaction(self) -> ShimTransaction:
        return ShimTransaction(self._lend_plain, self.registry)

    def _source_of(self, given: Any, connections_max: int) -> Source:
        return async_source_of(given, connections_max)

    def _over(self, caller: Any) -> Execute:
        return awaited(caller)

    def _sleep(self, seconds: float) -> None:
        await_(asyncio.sleep(seconds))


class AsyncClient(AsyncWrapper[_ShimClient]):
    """A `Client` for asynchronous code: its methods are coroutines, with the same parameters, results and errors.

        client = awa.AsyncClient("postgresql://app@localhost/shop")

        async def order(item):
            async with client.transaction() as tx:
                row = await tx.fetch_one("insert into orders (item) values ($1) returning id", item)
                await tx.insert(ShipOrder(row["id"]))

    It connects at its first use. Made from a URL, each event loop opens up to `max_connections` of its own: they are
    never used by another loop, nor by a forked child. Made from a psycopg pool it takes connections from there (a
    forked child opens its own instead). Made from a psycopg connection, all it does becomes part of that connection's
    transaction and is never committed here.

    It has `task`, so that jobs find their queues and `awa-supervisor --app` finds the handlers, but it does not run
    them: it has no `work`.

    A task that is cancelled while it waits for the server stops what the server is doing, and the connection goes back
    in order. Whether a call that was cancelled so has been committed cannot be known, except inside a transaction.
    """

    def __init__(
        self,
        database_url: str | psycopg.AsyncConnection[Any] | AsyncConnectionPool[Any] | None = None,
        max_connections: int = 10,
        *,
        payload_bytes_max: int = BYTES_MAX,
        wake: bool | None = None,
        source: Source | None = None,
    ) -> None:
        """Make a client.

        Args:
            database_url: where the jobs are: a `postgresql://` URL, libpq keywords, `embedded://` (a server of Awa's
                own), an asynchronous psycopg connection or pool. Left out, `$DATABASE_URL` at the first use.
            max_connections: how many connections each event loop may open.
            payload_bytes_max: how many bytes the arguments of a job may take as JSON; a million by default.
            wake: whether inserts tell idle workers of their jobs by NOTIFY; left out, as `$AWA_WAKE` says: `on` (the
                default) or `off`, which leaves them to the workers' next poll. See the option of `insert`.
            source: what lends connections, in place of `database_url`: for integrations, which make a subclass of
                `awa.database.source.Source`.

        Raises:
            ValidationError: an argument is none of these, `source` and `database_url` are both given, or `$AWA_WAKE` is
                neither on nor off.
        """
        url = cast("Any", database_url)
        super().__init__(
            _ShimClient(url, max_connections, payload_bytes_max=payload_bytes_max, wake=wake, source=source)
        )

    @property
    def registry(self) -> Registry:
        """The tasks registered here."""
        return self._synchronous.registry

    @property
    def dsn(self) -> str | None:
        """The address of the database as it was given, or `$DATABASE_URL`; None where neither names one."""
        return self._synchronous.dsn

    task = same(Client.task)
    around_jobs = same(Client.around_jobs)
    on_worker_start = same(Client.on_worker_start)

    def transaction(self) -> Transaction:
        """Return a transaction in which jobs and rows of the application are written together."""
        return Transaction(self._synchronous.transaction())

    insert = coroutine(Client.insert)
    insert_many = coroutine(Client.insert_many)
    insert_many_copy = coroutine(Client.insert_many_copy)
    enqueue_many_copy = coroutine(Client.enqueue_many_copy)

    get_job = coroutine(Client.get_job)
    list_jobs = coroutine(Client.list_jobs)
    attempts = coroutine(Client.attempts)
    waiting_reasons = coroutine(Client.waiting_reasons)
    queue_stats = coroutine(Client.queue_stats)
    known_names = coroutine(Client.known_names)
    worker_deaths = coroutine(Client.worker_deaths)
    wait = coroutine(Client.wait)
    wait_all = coroutine(Client.wait_all)

    cancel = coroutine(Client.cancel)
    cancel_by_unique_key = coroutine(Client.cancel_by_unique_key)
    retry = coroutine(Client.retry)
    run_now = coroutine(Client.run_now)
    pause_queue = coroutine(Client.pause_queue)
    resume_queue = coroutine(Client.resume_queue)
    drain_queue = coroutine(Client.drain_queue)
    queue_policy = coroutine(Client.queue_policy)
    configure_queue = coroutine(Client.configure_queue)

    list_dlq = coroutine(Client.list_dlq)
    get_dlq_job = coroutine(Client.get_dlq_job)
    dlq_depth = coroutine(Client.dlq_depth)
    dlq_depth_by_queue = coroutine(Client.dlq_depth_by_queue)
    retry_from_dlq = coroutine(Client.retry_from_dlq)
    bulk_retry_from_dlq = coroutine(Client.bulk_retry_from_dlq)
    retry_failed = coroutine(Client.retry_failed)
    move_failed_to_dlq = coroutine(Client.move_failed_to_dlq)
    bulk_move_failed_to_dlq = coroutine(Client.bulk_move_failed_to_dlq)
    purge_dlq_job = coroutine(Client.purge_dlq_job)
    purge_dlq = coroutine(Client.purge_dlq)
    discard = coroutine(Client.discard)
    discard_failed = coroutine(Client.discard_failed)

    migrate = coroutine(Client.migrate)
    close = coroutine(Client.close)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def migrate(
    database_url: str | psycopg.AsyncConnection[Any] | AsyncConnectionPool[Any] | None = None,
    *,
    roles: bool = False,
) -> list[int]:
    """Install or upgrade Awa's schema; return the versions applied. Raises SchemaTooNew, DatabaseError.

    With `roles`, then make the roles `awa_producer`, `awa_reader`, `awa_worker` and `awa_admin` where there are none,
    and grant their rights. That takes the schema's owner, who may create roles where one is missing.
    """
    async with AsyncClient(database_url, max_connections=1) as client:
        return await client.migrate(roles=roles)
