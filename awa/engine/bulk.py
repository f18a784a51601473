"""Bulk: put many jobs into the log, by COPY where this role may, else by a function of the schema.

Jobs come in chunks, so that any number of them can be inserted from a generator. Where the connection is the client's
own, the next chunk is read while the server still works on the last one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec
import psycopg

from awa.database.statements import statement
from awa.engine.arrays import byte_strings, numbers
from awa.engine.insert import Execute, NewJob, wake
from awa.engine.lines import lines

CHUNK_JOBS: Final = 10_000
"""Jobs a bulk insert holds in memory at a time; twice as many where it reads ahead."""
KEYED_JOBS: Final = 100_000
"""… of those that have unique keys: the keys of a chunk are taken in their order, so that two bulk inserts of one chunk
each never wait for each other."""
CHUNK_BYTES: Final = 64 * 2**20
"""… however many: with more arguments than this in memory, they are sent."""
PIECE_JOBS: Final = 500
"""Lines that are sent at a time, and jobs that are read meanwhile."""

_TAKE_IDS = statement("insert/take_ids")
_CLAIM_KEYS = statement("insert/claim_keys")
_COPY = statement("insert/copy")
_MAY_COPY = statement("insert/may_copy")
_INSERT_JOBS = statement("insert/insert_jobs")
_INSERTED = statement("insert/inserted")


class Added(NamedTuple):
    """What the server added to a job of a bulk insert."""

    id: int
    created_at: datetime
    run_at: datetime | None
    later: bool | None
    """Whether run_at lies in the future, by the server's clock; None without a run_at."""


def insert_many(
    connection: psycopg.Connection[Any], jobs: Iterable[NewJob], *, ahead: bool = False
) -> list[int | None]:
    """Insert any number of jobs, holding at most `CHUNK_JOBS` of them in memory (`KEYED_JOBS` with unique keys).

    Returns their ids, in order: None for each that was left out because another job holds its unique key.

    The connection must be in a transaction: a part of the jobs is never committed alone. `ahead`: nothing that `jobs`
    does uses this connection, so that it may be asked for more while a chunk is being sent.
    """
    ids: list[int | None] = []
    may_copy: bool | None = None
    chunks = Chunks(jobs)
    while chunk := chunks.take():
        if may_copy is None:
            may_copy = _may_copy(connection)
        ids += _copy(connection, chunk, chunks if ahead else None) if may_copy else _call(connection, chunk)
    if ids and may_copy:
        wake(connection)
    return ids


def insert_many_by(execute: Execute, jobs: Iterable[NewJob]) -> list[int | None]:
    """As `insert_many`, over a connection of the application's, by a function of the schema.

    After an error a part of the jobs may have been inserted into the caller's transaction, which has failed then.
    """
    ids: list[int | None] = []
    chunks = Chunks(jobs)
    while chunk := chunks.take():
        ids += [row[0] for row in execute(_INSERT_JOBS, _records(chunk))]
    return ids


def added(connection: psycopg.Connection[Any], ids: Sequence[int]) -> list[Added]:
    """Return what the server added to jobs just inserted, in the order of their ids, which is that of a bulk insert."""
    return [Added(*row) for row in connection.execute(_INSERTED, {"ids": numbers(ids)})]


class Chunks:
    """Jobs on their way from a caller's iterable, a chunk at a time."""

    def __init__(self, jobs: Iterable[NewJob]) -> None:
        self._jobs = iter(jobs)
        self._chunk: list[NewJob] = []
        self._jobs_max = CHUNK_JOBS
        self._size = 0
        self._error: Exception | None = None

    def take(self) -> list[NewJob]:
        """Return the next chunk, empty at the end. Raises what the iterable raises."""
        self._read(KEYED_JOBS)
        if self._error is not None:
            raise self._error
        chunk = self._chunk
        self._chunk, self._jobs_max, self._size = [], CHUNK_JOBS, 0
        return chunk

    def read(self) -> None:
        """Read a few jobs of the next chunk, if it is not full. What that raises is kept for `take`."""
        if self._error is None:
            try:
                self._read(PIECE_JOBS)
            except Exception as error:  # noqa: BLE001 - whatever it is, `take` raises it
                self._error = error

    def _read(self, jobs_max: int) -> None:
        while jobs_max > 0 and not self._is_full:
            jobs_max -= 1
            job = next(self._jobs, None)
            if job is None:
                return
            self._chunk.append(job)
            self._size += len(job.args)
            if job.unique is not None:
                self._jobs_max = KEYED_JOBS

    @property
    def _is_full(self) -> bool:
        return len(self._chunk) >= self._jobs_max or self._size >= CHUNK_BYTES


def _may_copy(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute(_MAY_COPY).fetchone()
    return row is not None and bool(row[0])


def _copy(connection: psycopg.Connection[Any], chunk: list[NewJob], following: Chunks | None) -> list[int | None]:
    taken = connection.execute(_TAKE_IDS, {"jobs": len(chunk)}, binary=True).fetchone()
    assert taken is not None
    ids: list[int | None] = taken[0]
    keyed = [at for at, job in enumerate(chunk) if job.unique is not None]
    if keyed:
        for at in _duplicates(connection, chunk, ids, keyed):
            ids[at] = None
    remaining = lines(ids, chunk, taken[1])
    with connection.cursor().copy(_COPY) as copy:
        while piece := b"".join(islice(remaining, PIECE_JOBS)):
            copy.write(piece)
            if following is not None:
                following.read()
    return ids


def _duplicates(
    connection: psycopg.Connection[Any], chunk: list[NewJob], ids: list[int | None], keyed: list[int]
) -> list[int]:
    """Take the unique keys of a chunk; return the places of the jobs that have not got theirs."""
    uniques = [unique for at in keyed if (unique := chunk[at].unique) is not None]
    wanted = {
        "keys": byte_strings(unique.key for unique in uniques),
        "ids": numbers(ids[at] or 0 for at in keyed),
        "states": numbers(unique.states for unique in uniques),
    }
    lost = {row[0] for row in connection.execute(_CLAIM_KEYS, wanted)}
    return [at for at in keyed if ids[at] in lost] if lost else []


def _call(connection: psycopg.Connection[Any], chunk: list[NewJob]) -> list[int | None]:
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
