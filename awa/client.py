"""`Client`: what an application holds. It registers handlers, inserts jobs, and looks after them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic, sleep
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import psycopg

from awa.asking import check_id, check_list_limit, check_work_limit, queue_names
from awa.codec import BYTES_MAX
from awa.database import schema
from awa.database.borrowed import borrowed
from awa.database.errors import translated
from awa.database.source import Source, required, source_of
from awa.dead_letters import DeadLetters
from awa.engine import control
from awa.engine.control import QueueStat, WorkerDeaths
from awa.engine.seal import seal_all
from awa.errors import DatabaseError, SerializationError, ValidationError
from awa.inserting import Inserter, JobOpts
from awa.job import Job, JobState
from awa.outcome import result_refusal
from awa.policy import GRACE_S, check_policy, check_whole
from awa.producing import DEFAULT_PRIORITY, DEFAULT_QUEUE
from awa.queues import Queues
from awa.reading import job_of
from awa.task import Function, Handler, Registry, check_name
from awa.transaction import SyncTransaction
from awa.unique.key import unique_key

if TYPE_CHECKING:
    from psycopg_pool import ConnectionPool

    from awa.backoff import Preset

PAYLOAD_BYTES: Final = range(2, 2**28)
"""What PostgreSQL takes as one JSON document is not much more."""
_WAIT_FIRST_S: Final = 0.005
_WAIT_LAST_S: Final = 0.25
"""`wait` looks again after these times, growing from the first to the last."""


class Client(Inserter, Queues, DeadLetters):
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
    ) -> None:
        """Make a client.

        Args:
            database_url: where the jobs are: a `postgresql://` URL, libpq keywords, `embedded://` (a server of Awa's
                own), a psycopg connection or pool. Left out, `$DATABASE_URL` at the first use.
            max_connections: how many connections each process may open.
            payload_bytes_max: how many bytes the arguments of a job may take as JSON; a million by default.

        Raises:
            ValidationError: it is none of these.
        """
        self._source = self._source_of(database_url, max_connections)
        self.registry = Registry(payload_bytes_max=check_whole("payload_bytes_max", payload_bytes_max, PAYLOAD_BYTES))
        self._is_checked = self._source.is_callers
        self._is_closed = False

    @property
    def dsn(self) -> str | None:
        """The address of the database as it was given, or `$DATABASE_URL`; None where neither names one."""
        return self._source.dsn

    def task(
        self,
        args_type: Any = None,
        *,
        kind: str | None = None,
        queue: str = DEFAULT_QUEUE,
        timeout: float | None = None,
        grace: float = GRACE_S,
        max_attempts: int | None = None,
        backoff: Callable[[int], float] | Preset | str | None = None,
        retry_on: type[BaseException] | Iterable[type[BaseException]] | None = None,
        give_up_on: type[BaseException] | Iterable[type[BaseException]] | None = None,
        raise_on_cancel: bool = False,
        memory_limit_mb: int | None = None,
    ) -> Callable[[Handler], Handler]:
        """Register the decorated function as the handler of a kind of job; return it unchanged.

        Args:
            args_type: what `job.args` will be: a dataclass, an attrs, msgspec or pydantic class, a TypedDict; left
                out, a dict.
            kind: by default derived from the name of `args_type`, or of the function where there is none.
            queue: where jobs of this kind go unless told otherwise.
            timeout: seconds an attempt may take before `JobTimeout` is raised in the handler; 0: as long as it likes.
                By default its queue's deadline. A job can be inserted with one of its own.
            grace: seconds from then on, or from a cancellation, until the worker is killed.
            max_attempts: of jobs inserted here without a number of their own, 1 to 1000; by default 25.
            backoff: how long to wait after a failed attempt: a preset of `awa.backoff` or its name, or a function from
                the attempt (1, 2, …) to seconds. By default `exponential()`.
            retry_on: exception classes; only these are retried, all others fail the job at once.
            give_up_on: exception classes that fail the job at once, whatever `retry_on` says.
            raise_on_cancel: raise `JobCancelled` in the handler of a job that is cancelled.
            memory_limit_mb: MiB that an attempt may take beyond what its worker had before.

        Raises:
            ValidationError: an option is not what it must be, or JSON cannot be turned into `args_type`.
        """
        if callable(args_type) and not isinstance(args_type, type) and hasattr(args_type, "__code__"):
            raise ValidationError(f"@client.task on {args_type.__qualname__} lacks its parentheses: @client.task()")

        options = {
            "timeout": timeout,
            "grace": grace,
            "max_attempts": max_attempts,
            "backoff": backoff,
            "retry_on": retry_on,
            "give_up_on": give_up_on,
            "raise_on_cancel": raise_on_cancel,
            "memory_limit_mb": memory_limit_mb,
        }
        check_policy(**options)  # where the decorator stands, not where it is applied

        def register(handler: Handler) -> Handler:
            self.registry.add(handler, args_type, kind, queue, **options)
            return handler

        return register

    def around_jobs(self, make: Function) -> Function:
        """Call each handler inside the context manager that `make(job)` returns; return `make`, so it may decorate.

            @client.around_jobs
            @contextmanager
            def timed(job):
                began = monotonic()
                try:
                    yield
                finally:
                    print(job.kind, monotonic() - began)

        The one registered first is the outermost. They are entered in the thread that calls the handler, of `async def`
        handlers too; time limits, cancellation and memory limits reach only the handler. What they raise is the job's
        error as if the handler had raised it. They see what it raises, and may raise another exception in its place,
        but cannot make it a success: one that is swallowed is raised all the same.

        Raises ValidationError when `make` cannot be called.
        """
        self.registry.add_around(make)
        return make

    def on_worker_start(self, function: Function) -> Function:
        """Call `function()` in each worker process before its first job; return it, so this may decorate.

        It is the place to give up what was opened before the fork, such as a pool of connections. A worker in which it
        raises ends, says so in the log, and is started again after a pause that grows. `work()` does not call it.

        Raises ValidationError when it cannot be called.
        """
        self.registry.add_start(function)
        return function

    # Inserting: `insert` and `insert_many` are those of Inserter

    def insert_many_copy(
        self,
        jobs: Iterable[Any],
        *,
        kind: str | None = None,
        queue: str | None = None,
        priority: int = DEFAULT_PRIORITY,
        max_attempts: int | None = None,
        timeout: float | None = None,
        tags: list[str] | None = None,
        metadata: Any = None,
        run_at: Any = None,
        delay: float | timedelta | None = None,
        expires_at: Any = None,
        unique_opts: Mapping[str, Any] | None = None,
        ordering_key: str | bytes | Sequence[int] | None = None,
        opts: JobOpts | None = None,
    ) -> list[Job]:
        """Insert as `insert_many` does, and return the jobs, which are all in memory for that."""
        shared = {
            "kind": kind,
            "queue": queue,
            "priority": priority,
            "max_attempts": max_attempts,
            "timeout": timeout,
            "tags": tags,
            "metadata": metadata,
            "run_at": run_at,
            "delay": delay,
            "expires_at": expires_at,
            "unique_opts": unique_opts,
            "ordering_key": ordering_key,
        }
        return self._copy_and_read(jobs, shared, opts)

    def enqueue_many_copy(
        self,
        jobs: Iterable[Any],
        *,
        kind: str | None = None,
        queue: str | None = None,
        priority: int = DEFAULT_PRIORITY,
        max_attempts: int | None = None,
        timeout: float | None = None,
        tags: list[str] | None = None,
        metadata: Any = None,
        run_at: Any = None,
        delay: float | timedelta | None = None,
        expires_at: Any = None,
        unique_opts: Mapping[str, Any] | None = None,
        ordering_key: str | bytes | Sequence[int] | None = None,
        opts: JobOpts | None = None,
    ) -> int:
        """Insert as `insert_many` does, and return how many jobs were inserted."""
        return self.insert_many(
            jobs,
            kind=kind,
            queue=queue,
            priority=priority,
            max_attempts=max_attempts,
            timeout=timeout,
            tags=tags,
            metadata=metadata,
            run_at=run_at,
            delay=delay,
            expires_at=expires_at,
            unique_opts=unique_opts,
            ordering_key=ordering_key,
            opts=opts,
        ).inserted

    def transaction(self) -> SyncTransaction:
        """Return a transaction in which jobs and rows of the application are written together."""
        return SyncTransaction(self._lend_plain, self.registry)

    # Looking

    def get_job(self, job_id: int) -> Job:
        """Return a job. Raises JobNotFound."""
        check_id(job_id)
        with self._using(f"read job {job_id}") as connection:
            return job_of(control.get(connection, job_id))

    def list_jobs(
        self,
        *,
        state: JobState | str | None = None,
        kind: str | None = None,
        queue: str | None = None,
        limit: int = 100,
    ) -> list[Job]:
        """Return jobs, newest first, at most `limit` (1 to 1000).

        Raises ValueError for a state there is not, ValidationError for another limit or what is no name.
        """
        wanted = None if state is None else JobState.parse(state)
        check_list_limit(limit)
        for what, name in (("kind", kind), ("queue", queue)):
            if name is not None:
                check_name(what, name)
        with self._using("list jobs") as connection:
            return [
                job_of(row) for row in control.listing(connection, state=wanted, kind=kind, queue=queue, limit=limit)
            ]

    def attempts(self, job_id: int) -> list[dict[str, Any]]:
        """Return the executions of a job, oldest first: rows of `awa.attempts`. Raises JobNotFound."""
        check_id(job_id)
        with self._using(f"read the attempts of job {job_id}") as connection:
            control.get(connection, job_id)
            return control.attempts(connection, job_id)

    def queue_stats(self) -> list[QueueStat]:
        """Return how every queue stands, by name."""
        with self._using("read queue statistics") as connection:
            return control.queue_stats(connection)

    def worker_deaths(self) -> list[WorkerDeaths]:
        """Return the kinds of jobs that worker processes died of in the last week, the worst of the last hour first.

        A worker that a time limit, a cancellation or a shutdown has killed does not count.
        """
        with self._using("read deaths of workers") as connection:
            return control.worker_deaths(connection)

    def wait(self, job_id: int, timeout: float | None = None) -> Job:
        """Wait until a job has ended, completed or not, and return it; what the handler returned is `job.result`.

        Raises JobNotFound; TimeoutError after `timeout` seconds (None: never); SerializationError when the job has
        completed but its result could not be stored.
        """
        give_up = None if timeout is None else monotonic() + timeout
        pause_s = _WAIT_FIRST_S
        while not (job := self.get_job(job_id)).state.is_terminal:
            left_s = _WAIT_LAST_S if give_up is None else give_up - monotonic()
            if left_s <= 0:
                raise TimeoutError(f"job {job_id} is {job.state} after {timeout} s of waiting")
            self._sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, _WAIT_LAST_S)
        if refusal := result_refusal(job.result):
            raise SerializationError(f"job {job_id} has completed, but its result was not stored: {refusal}")
        return job

    # Steering

    def cancel_by_unique_key(
        self,
        kind: str,
        *,
        queue: str | None = None,
        args: Any = None,
        period_bucket: int | timedelta | None = None,
    ) -> Job | None:
        """Cancel the job that holds a unique key, as `cancel` does, and return it; None when no job that could be
        cancelled holds it.

        The key is that of a job inserted with `by_queue`, `by_args` and `by_period` as `queue`, `args` and
        `period_bucket` are given here. For one that was inserted by some of its arguments, give a dict of these.
        """
        check_name("kind", kind)
        key = unique_key(kind, args, queue=queue, period=period_bucket)
        with self._using(f"cancel the job of kind {kind!r} that holds a unique key") as connection:
            self._seal_before_callers_transaction(connection)
            job_id = control.cancel_holder(connection, key)
            return None if job_id is None else job_of(control.get(connection, job_id))

    def cancel(self, job_id: int) -> Job:
        """Cancel a job that has not ended.

        One that is being run is cancelled at once: its handler can see it (`job.is_cancelled()`) and may go on for a
        while, but what it returns or raises counts no more. Raises JobNotFound, or StateConflict when it has ended.
        """
        check_id(job_id)
        with self._using(f"cancel job {job_id}") as connection:
            self._seal_before_callers_transaction(connection)
            control.cancel(connection, job_id)
            return job_of(control.get(connection, job_id))

    def retry(self, job_id: int) -> Job:
        """Run a failed or cancelled job again, counting attempts from 0; its errors are kept.

        Raises JobNotFound, or StateConflict when it is in another state.
        """
        check_id(job_id)
        with self._using(f"retry job {job_id}") as connection:
            control.retry(connection, job_id)
            return job_of(control.get(connection, job_id))

    def pause_queue(self, queue: str, paused_by: str | None = None) -> None:
        """Let nobody take jobs from a queue; inserting goes on, running jobs finish. `paused_by` says who did it."""
        check_name("queue", queue)
        with self._using(f"pause queue {queue!r}") as connection:
            control.pause(connection, queue, paused_by)

    def resume_queue(self, queue: str) -> None:
        """Let jobs of a paused queue be taken again; nothing happens to one that is not paused."""
        check_name("queue", queue)
        with self._using(f"resume queue {queue!r}") as connection:
            control.resume(connection, queue)

    # The schema, working here, the end

    def migrate(self) -> list[int]:
        """Install or upgrade Awa's schema; return the versions applied. Raises SchemaTooNew, DatabaseError."""
        self._refuse_closed()
        with translated("migrate the database"), self._source.lend() as connection:
            return schema.migrate(connection)

    def work(self, queues: Sequence[str] | None = None, *, until_idle: bool = True, limit: int | None = None) -> int:
        """Run jobs in this process, for tests and scripts, and return how many ran. In production awa-supervisor does.

        Args:
            queues: the names of those to take jobs from; by default the queues of all registered tasks' jobs.
            until_idle: stop when nothing is due. Jobs that are put aside for later are not waited for.
            limit: stop after so many jobs, at least 1.

        Raises ValidationError for queues that are no names, or another limit.

        It works over connections of its own: jobs of a transaction that is still open are not seen. A job whose time
        is up gets `JobTimeout` if this is called in the main thread; nobody is killed.
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

    # What an asynchronous client does in another way

    def _source_of(self, given: Any, connections_max: int) -> Source:
        return source_of(given, connections_max)

    def _sleep(self, seconds: float) -> None:
        sleep(seconds)

    # Connections

    @contextmanager
    def _using(self, doing: str) -> Iterator[psycopg.Connection[Any]]:
        self._refuse_closed()
        with translated(doing), self._source.lend() as connection:
            self._check_schema(connection)
            yield connection

    @contextmanager
    def _lend_plain(self) -> Iterator[psycopg.Connection[Any]]:
        self._refuse_closed()
        with self._source.lend_plain() as connection:
            self._check_schema(borrowed(connection))
            yield connection

    def _check_schema(self, connection: psycopg.Connection[Any]) -> None:
        """Look once, with the first connection; not in a transaction of the caller's, which need not be about jobs."""
        if not self._is_checked:
            schema.check(connection)
            self._is_checked = True

    def _seal_before_callers_transaction(self, connection: psycopg.Connection[Any]) -> None:
        """A job committed a moment ago has to be sealed to be found, which is possible only while no transaction runs:
        on the caller's connection, before the first statement begins one."""
        if self._source.is_callers and connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            seal_all(connection)

    def _refuse_closed(self) -> None:
        if self._is_closed:
            raise DatabaseError("this client has been closed; make another one")
