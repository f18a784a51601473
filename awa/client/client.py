"""`Client`: what an application holds. It registers handlers, inserts jobs, and looks after them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import psycopg

from awa.client.dlq import DeadLetters
from awa.client.jobs import Jobs
from awa.client.queues import Queues
from awa.client.registrar import Registrar
from awa.database.adapters.caller import as_one, borrowed
from awa.database.errors import translated
from awa.database.guarded import guard
from awa.database.schema import chain
from awa.database.schema.roles import grant
from awa.database.schema.search_path import warn_of_hidden_names
from awa.database.source import Source, required, source_of
from awa.engine.seal import seal_all
from awa.enqueue.copier import Copier
from awa.enqueue.transaction import SyncTransaction
from awa.enqueue.wake import wakes_by_default
from awa.errors import DatabaseError, ValidationError
from awa.job.codec import BYTES_MAX
from awa.job.validate import check_wake, check_whole, check_work_limit, queue_names
from awa.processes.environment import warn_of_unknown_variables
from awa.task.registry import Registry

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

PAYLOAD_BYTES: Final = range(2, 2**28)
"""PostgreSQL's limit of one JSON document is not much higher."""


class Client(Registrar, Copier, Jobs, Queues, DeadLetters):
    """An application's way to its jobs: threads may share it, and it survives a fork.

        client = awa.Client("postgresql://app@localhost/shop")

        @client.task(SendEmail, queue="email")
        def send_email(job):
            ...

        client.insert(SendEmail(to="hine@example.org"))

    It connects at its first use. Made from a URL it opens up to `max_connections` of its own; a forked child opens its
    own again and never touches those of its parent. Made from a psycopg pool it takes connections from there (a child
    opens its own instead). Made from a psycopg connection, all it does becomes part of that connection's transaction
    and is never committed here; a child has to make its own.
    """

    def __init__(
        self,
        database_url: str | psycopg.Connection[Any] | ConnectionPool[Any] | None = None,
        max_connections: int = 10,
        *,
        payload_bytes_max: int = BYTES_MAX,
        wake: bool | None = None,
        source: Source | None = None,
    ) -> None:
        """Make a client.

        Args:
            database_url: where the jobs are: a `postgresql://` URL, libpq keywords, `embedded://` (a server of Awa's
                own), a psycopg connection or pool. Left out, `$DATABASE_URL` at the first use.
            max_connections: how many connections each process may open.
            payload_bytes_max: how many bytes the arguments of a job may take as JSON; a million by default.
            wake: whether inserts tell idle workers of their jobs by NOTIFY; left out, as `$AWA_WAKE` says: `on` (the
                default) or `off`, which leaves them to the workers' next poll. See the option of `insert`.
            source: what lends connections, in place of `database_url`: for integrations, which make a subclass of
                `awa.database.source.Source`.

        Raises:
            ValidationError: an argument is none of these, `source` and `database_url` are both given, or `$AWA_WAKE` is
                neither on nor off.
        """
        warn_of_unknown_variables()
        if source is not None and database_url is not None:
            raise ValidationError("both database_url and source were given; leave one out")
        self._source = source or self._source_of(database_url, max_connections)
        wakes = wakes_by_default() if check_wake(wake) is None else wake
        self.registry = Registry(
            payload_bytes_max=check_whole("payload_bytes_max", payload_bytes_max, PAYLOAD_BYTES), wakes=wakes
        )
        self._is_checked = self._source.is_callers
        self._may_read_ahead = not self._source.is_callers
        self._is_closed = False

    @property
    def dsn(self) -> str | None:
        """The address of the database as it was given, or `$DATABASE_URL`; None where neither names one."""
        return self._source.dsn

    def transaction(self) -> SyncTransaction:
        """Return a transaction in which jobs and rows of the application are written together."""
        return SyncTransaction(self._lend_plain, self.registry)

    def migrate(self, *, roles: bool = False) -> list[int]:
        """Install or upgrade Awa's schema; return the versions applied. Raises SchemaTooNew, DatabaseError.

        With `roles`, then make the roles `awa_producer`, `awa_reader`, `awa_worker` and `awa_admin` where there are
        none, and grant their rights. That takes the schema's owner, who may create roles where one is missing.
        """
        self._refuse_closed()
        with translated("migrate the database"), self._source.lend() as connection:
            if not roles:
                return chain.migrate(connection)
            with as_one(connection):  # refused, the roles take the schema back with them
                applied = chain.migrate(connection)
                grant(connection)
            return applied

    def work(self, queues: Sequence[str] | None = None, *, until_idle: bool = True, limit: int | None = None) -> int:
        """Run jobs in this process, for tests and scripts, and return how many ran. In production awa-supervisor does.

        Args:
            queues: the names of those to take jobs from; by default the queues of all registered tasks' jobs.
            until_idle: stop when nothing is due. Jobs that are put aside for later are not waited for.
            limit: stop after so many jobs, at least 1.

        Raises ValidationError for queues that are no names, or another limit.

        Jobs that an earlier call left behind, because its process was killed, are taken up first, wherever it ran;
        through a transaction pooler only a supervisor does so.

        It works over connections of its own: jobs of a transaction that is still open are not seen. A job whose time
        is up gets `JobTimeout` if this is called in the main thread; no process is killed.
        """
        self._refuse_closed()
        chosen = queue_names(queues)
        check_work_limit(limit)
        from awa.worker.inline import work  # only who works in-process needs a worker's machinery

        with translated("work"):
            return work(required(self.dsn), self.registry, chosen, until_idle=until_idle, limit=limit)

    def close(self) -> None:
        """Close the client's own connections. It cannot be used afterwards; closing it again does nothing."""
        self._is_closed = True
        self._source.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Connections

    def _source_of(self, given: Any, connections_max: int) -> Source:
        """Return where connections come from; an asynchronous client has other sources."""
        return source_of(given, connections_max)

    @contextmanager
    def _using(self, doing: str) -> Iterator[psycopg.Connection[Any]]:
        self._refuse_closed()
        with self._source.translated(doing), self._source.lend() as connection:
            self._check_schema(connection)
            yield connection

    def _commits(self, connection: psycopg.Connection[Any]) -> bool:
        if not self._source.is_callers:
            return True
        return connection.autocommit and connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE

    @contextmanager
    def _lend_plain(self) -> Iterator[psycopg.Connection[Any]]:
        self._refuse_closed()
        with self._source.lend_plain() as connection:
            with guard(borrowed(connection)) as lent:
                self._check_schema(lent)
            yield connection

    def _check_schema(self, connection: psycopg.Connection[Any]) -> None:
        """Look once, with the first connection; not in a transaction of the caller's, which need not be about jobs."""
        if not self._is_checked:
            chain.check(connection)
            warn_of_hidden_names(connection)
            self._is_checked = True

    def _seal_before_callers_transaction(self, connection: psycopg.Connection[Any]) -> None:
        """A job committed a moment ago has to be sealed to be found, which is possible only while no transaction runs:
        on the caller's connection, before the first statement begins one."""
        if self._source.is_callers and connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            seal_all(connection)

    def _refuse_closed(self) -> None:
        if self._is_closed:
            raise DatabaseError("this client has been closed; make another one")
