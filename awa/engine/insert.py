"""Insert: put jobs into the log, in the transaction the connection is in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, Protocol

import msgspec
import psycopg

from awa.database.statements import statement
from awa.engine.arrays import byte_strings, numbers

CHUNK_JOBS: Final = 10_000
"""Jobs a bulk insert holds in memory at a time."""
KEYED_JOBS: Final = 100_000
"""… of those that have unique keys: the keys of a step are taken in their order, so that two bulk inserts of one step
each never wait for each other."""
CHUNK_BYTES: Final = 64 * 2**20
"""… however many: with more arguments than this in memory, they are sent."""

INSERT: Final = statement("insert/insert")
"""The one statement of a single insert, for `Execute`."""
_TAKE_IDS = statement("insert/take_ids")
_CLAIM_KEYS = statement("insert/claim_keys")
_COPY = statement("insert/copy")
_MAY_COPY = statement("insert/may_copy")
_INSERT_JOBS = statement("insert/insert_jobs")
_INSERTED = statement("insert/inserted")
_WAKE = statement("insert/wake")


class Unique(NamedTuple):
    """The unique key of a new job."""

    key: bytes
    states: int
    """The states in which the job holds its key: bit i is the state of value i."""


class NewJob(NamedTuple):
    """A job about to be inserted; every field has been validated."""

    queue: str
    kind: str
    priority: int
    max_attempts: int
    run_at: datetime | None
    args: bytes
    """JSON, as are metadata."""
    metadata: bytes | None
    tags: list[str] | None
    timeout_ms: int | None = None
    """Time limit of an attempt in milliseconds; 0: none; None: that of its task or queue."""
    delay_s: float | None = None
    """Instead of run_at: seconds from now, by the server's clock."""
    expires_at: datetime | None = None
    """Not started by then, it is cancelled."""
    unique: Unique | None = None
    ordering_key: bytes | None = None


class Inserted(NamedTuple):
    """What became of a new job."""

    id: int
    """Its id, or that of the job that holds its unique key."""
    outcome: str
    """ "inserted"; "existing" or "replaced" where another job holds its unique key."""
    state: str
    created_us: int
    """Microseconds since the epoch."""
    run_us: int
    existing: str | None
    """The job that holds the key, as JSON: the columns of `awa.inserted_job`."""


class Added(NamedTuple):
    """What the server added to a job of a bulk insert."""

    id: int
    created_at: datetime
    run_at: datetime | None
    later: bool | None
    """Whether run_at lies in the future, by the server's clock; None without a run_at."""


class Execute(Protocol):
    """Runs a statement with `%(name)s` parameters; returns its rows."""

    def __call__(self, sql: bytes, parameters: Mapping[str, Any], /) -> list[Any]: ...


def insert(connection: psycopg.Connection[Any], job: NewJob, *, replace: bool = False) -> Inserted:
    """Insert one job: one statement, no commit. See `parameters` for `replace`."""
    row = connection.execute(INSERT, parameters(job, replace=replace)).fetchone()
    assert row is not None
    return Inserted(*row)


def parameters(job: NewJob, *, replace: bool = False) -> dict[str, Any]:
    """Return the parameters of `INSERT`: text and numbers only, since libraries differ in what they make of the rest.

    A job that holds the unique key already is never an error of the statement, which would end the transaction of the
    caller: it is returned, or, with `replace`, gets the contents of the new one if nobody has started it.
    """
    unique = job.unique
    return {
        "kind": job.kind,
        "args": job.args.decode(),
        "queue": job.queue,
        "priority": job.priority,
        "run_at": None if job.run_at is None else job.run_at.isoformat(),
        "max_attempts": job.max_attempts,
        "tags": None if job.tags is None else _array(job.tags),
        "metadata": None if job.metadata is None else job.metadata.decode(),
        "unique_key": None if unique is None else unique.key.hex(),
        "unique_states": None if unique is None else unique.states,
        "ordering_key": None if job.ordering_key is None else job.ordering_key.hex(),
        "opts": _opts(job, replace),
    }


def insert_many(connection: psycopg.Connection[Any], jobs: Iterable[NewJob]) -> list[int | None]:
    """Insert any number of jobs, holding at most `CHUNK_JOBS` of them in memory (`KEYED_JOBS` with unique keys).

    Returns their ids, in order: None for each that was left out because another job holds its unique key.

    By COPY, or, where this role may not write to the log itself, by a function of the schema. The connection must be in
    a transaction: a part of the jobs is never committed alone.
    """
    ids: list[int | None] = []
    may_copy: bool | None = None
    remaining = iter(jobs)
    while chunk := _chunk(remaining):
        if may_copy is None:
            may_copy = _may_copy(connection)
        ids += _copy_chunk(connection, chunk) if may_copy else _call_chunk(connection, chunk)
    if ids and may_copy:
        wake(connection)
    return ids


def insert_many_by(execute: Execute, jobs: Iterable[NewJob]) -> list[int | None]:
    """As `insert_many`, over a connection of the application's, by a function of the schema.

    After an error a part of the jobs may have been inserted into the caller's transaction, which has failed then.
    """
    ids: list[int | None] = []
    remaining = iter(jobs)
    while chunk := _chunk(remaining):
        ids += [row[0] for row in execute(_INSERT_JOBS, _records(chunk))]
    return ids


def added(connection: psycopg.Connection[Any], ids: Sequence[int]) -> list[Added]:
    """Return what the server added to jobs just inserted, in the order of their ids, which is that of a bulk insert."""
    return [Added(*row) for row in connection.execute(_INSERTED, {"ids": numbers(ids)})]


def wake(connection: psycopg.Connection[Any]) -> None:
    """Wake nodes with idle workers, when the connection's transaction commits. Costs nothing while all are busy."""
    connection.execute(_WAKE)


def _opts(job: NewJob, replace: bool) -> str | None:
    given: dict[str, Any] = {}
    if job.timeout_ms is not None:
        given["timeout_ms"] = job.timeout_ms
    if job.delay_s is not None:
        given["delay_s"] = job.delay_s
    if job.expires_at is not None:
        given["expires_at"] = job.expires_at.isoformat()
    if job.unique is not None:
        given["on_conflict"] = "replace" if replace else "skip"
    return msgspec.json.encode(given).decode() if given else None


def _chunk(jobs: Iterator[NewJob]) -> list[NewJob]:
    """Return the next jobs to insert in one step."""
    chunk: list[NewJob] = []
    jobs_max, size = CHUNK_JOBS, 0
    for job in jobs:
        chunk.append(job)
        size += len(job.args)
        if job.unique is not None:
            jobs_max = KEYED_JOBS
        if len(chunk) >= jobs_max or size >= CHUNK_BYTES:
            break
    return chunk


def _may_copy(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute(_MAY_COPY).fetchone()
    return row is not None and bool(row[0])


def _copy_chunk(connection: psycopg.Connection[Any], chunk: list[NewJob]) -> list[int | None]:
    taken = connection.execute(_TAKE_IDS, {"jobs": len(chunk)}, binary=True).fetchone()
    assert taken is not None
    ids: list[int | None] = taken[0]
    keyed = [at for at, job in enumerate(chunk) if job.unique is not None]
    if keyed:
        lost = set(keyed) - _claim_keys(connection, chunk, ids, keyed)
        for at in lost:
            ids[at] = None
    with connection.cursor().copy(_COPY) as copy:
        copy.write(b"".join(_lines(ids, chunk, taken[1])))
    return ids


def _claim_keys(
    connection: psycopg.Connection[Any], chunk: list[NewJob], ids: list[int | None], keyed: list[int]
) -> set[int]:
    """Take the unique keys of a chunk; return the places of the jobs that have got theirs."""
    uniques = [unique for at in keyed if (unique := chunk[at].unique) is not None]
    wanted = {
        "keys": byte_strings(unique.key for unique in uniques),
        "ids": numbers(ids[at] or 0 for at in keyed),
        "states": numbers(unique.states for unique in uniques),
    }
    place = {ids[at]: at for at in keyed}
    return {place[row[0]] for row in connection.execute(_CLAIM_KEYS, wanted)}


def _call_chunk(connection: psycopg.Connection[Any], chunk: list[NewJob]) -> list[int | None]:
    return [row[0] for row in connection.execute(_INSERT_JOBS, _records(chunk))]


def _records(chunk: list[NewJob]) -> dict[str, Any]:
    return {"jobs": msgspec.json.encode([_record(job) for job in chunk]).decode()}


def _record(job: NewJob) -> dict[str, Any]:
    """Return a job as `awa.insert_jobs` takes it, without what has its default."""
    record: dict[str, Any] = {
        "kind": job.kind,
        "queue": job.queue,
        "args": msgspec.Raw(job.args),
        "priority": job.priority,
        "run_at": job.run_at,
        "max_attempts": job.max_attempts,
        "tags": job.tags,
        "metadata": None if job.metadata is None else msgspec.Raw(job.metadata),
        "timeout_ms": job.timeout_ms,
        "delay_s": job.delay_s,
        "expires_at": job.expires_at,
        "unique_key": None if job.unique is None else job.unique.key.hex(),
        "unique_states": None if job.unique is None else job.unique.states,
        "ordering_key": None if job.ordering_key is None else job.ordering_key.hex(),
    }
    return {name: value for name, value in record.items() if value is not None}


def _lines(ids: list[int | None], chunk: list[NewJob], now: datetime) -> Iterator[bytes]:
    """Yield one COPY line a job. What comes before the arguments is mostly the same for all jobs, so it is kept."""
    common: dict[tuple[Any, ...], bytes] = {}
    for job_id, job in zip(ids, chunk, strict=True):
        if job_id is None:
            continue
        (queue, kind, priority, max_attempts, run_at, args, metadata, tags, timeout_ms, delay_s, expires_at, unique,
         ordering_key) = job  # fmt: skip
        key = (queue, kind, priority, max_attempts, timeout_ms, run_at, delay_s, expires_at, metadata, ordering_key,
               unique and unique.states, *(tags or ()))  # fmt: skip
        middle = common.get(key)
        if middle is None:
            middle = common[key] = _middle(job, now)
        unique_key = rb"\N" if unique is None else rb"\\x" + unique.key.hex().encode()
        yield b"%d\t%b\t%b\t%b\n" % (job_id, middle, unique_key, _escaped(args))


def _middle(job: NewJob, now: datetime) -> bytes:
    """Return the COPY columns from queue to ordering_key."""
    run_at = job.run_at if job.delay_s is None else now + timedelta(seconds=job.delay_s)
    fields = (
        job.queue,
        job.kind,
        str(job.priority),
        str(job.max_attempts),
        None if job.timeout_ms is None else str(job.timeout_ms),
        None if run_at is None else run_at.isoformat(),
        None if job.metadata is None else job.metadata.decode(),
        None if job.tags is None else _array(job.tags),
        None if job.expires_at is None else job.expires_at.isoformat(),
        None if job.unique is None else str(job.unique.states),
        None if job.ordering_key is None else "\\x" + job.ordering_key.hex(),
    )
    return b"\t".join(map(_field, fields))


def _field(text: str | None) -> bytes:
    return rb"\N" if text is None else _escaped(text.encode())


def _escaped(text: bytes) -> bytes:
    # JSON that was embedded raw may have line breaks and tabs between its tokens.
    return text.replace(b"\\", rb"\\").replace(b"\t", rb"\t").replace(b"\n", rb"\n").replace(b"\r", rb"\r")


def _array(texts: list[str]) -> str:
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"
