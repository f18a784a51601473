"""Bulk: put many jobs into the log, by COPY where this role may, else by a function of the schema. `batcher` says where
they go from there.

Jobs come in chunks, so that any number of them can be inserted from a generator. Where the connection is the client's
own, the next chunk is read while the server still works on the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from itertools import islice
from math import ceil
from typing import Any, Final, NamedTuple

import msgspec
import psycopg

from awa.database.pipeline import execute_overlapped
from awa.database.statements import statement
from awa.engine.arrays import byte_strings, numbers
from awa.engine.insert.copy_rows import BEGIN, END, rows
from awa.engine.insert.direct_batches import DirectBatcher
from awa.engine.insert.single import Execute, NewJob, ascii_json
from awa.engine.nodes import wake
from awa.job.moments import from_microseconds

CHUNK_JOBS: Final = 25_000
"""Jobs a bulk insert holds in memory at a time; twice as many where it reads ahead. Between two chunks the server has
nothing to do for some milliseconds."""
FIRST_JOBS: Final = 5_000
"""First chunk when reading ahead, for which the server waits …"""
GROWTH: Final = 1.5
"""… and reads three while it sends two, so that chunks grow until they are as long as they may be. Reading is spread
over all of the sending: where the client has read its fill early, it waits for the server, after the server has waited
for it."""
READ_MEANWHILE: Final = 0.2
"""While the server takes ids for the jobs of a chunk, this part of their number is read; …"""
READ_AT_END: Final = 0.1
"""… this one while it works on what was sent last, and as many again while it files them."""
PIECE_JOBS: Final = 250
"""Jobs that are sent at a time, and some read in between: about as much as fits between client and server."""
ALONE_JOBS: Final = 10_000
"""Jobs in a chunk where nothing is read ahead: while they are encoded, an event loop stands still."""
KEYED_JOBS: Final = 100_000
"""Jobs in a chunk of those that have unique keys: the keys of a chunk are taken in their order, so that two bulk
inserts of one chunk each never wait for each other."""
CHUNK_BYTES: Final = 32 * 2**20
"""With more arguments than this in memory, a chunk is sent, however many jobs it has."""

_TAKE_IDS = statement("insert/take_ids")
_CLAIM_KEYS = statement("insert/claim_keys")
_COPY = statement("insert/copy")
_COPY_BATCHED = statement("insert/copy_batched")
_MAY_COPY = statement("insert/may_copy")
_INSERT_JOBS = statement("insert/insert_jobs")
_INSERTED = statement("insert/inserted")
_HOLDER = statement("control/holder")
_ENCODING = b"select set_config('client_encoding', %(name)s, true)"


class Added(NamedTuple):
    """The server's additions to a job of a bulk insert."""

    id: int
    created_at: datetime
    run_at: datetime | None
    later: bool | None
    """True if run_at lies in the future, by the server's clock; None without a run_at."""


class Conflict(NamedTuple):
    """A job that had to be left out, and must not be."""

    at: int
    """Its place among the jobs, from zero."""
    holder: int | None
    """The job that holds its unique key; None: one before it among these."""


class Bulk:
    """The result of a bulk insert."""

    def __init__(self) -> None:
        self.ids: list[int | None] = []
        """In their order: None for each that was left out because another job holds its unique key."""
        self.conflict: Conflict | None = None
        """The first of those that must not be left out: the transaction is to be undone, if anything was inserted."""
        self.added: list[Added] = []
        """The server's additions, where they are known without another query."""


def insert_many(connection: psycopg.Connection[Any], jobs: Iterable[NewJob], *, ahead: bool = False) -> Bulk:
    """Insert any number of jobs, holding some `CHUNK_JOBS` of them in memory (`KEYED_JOBS` with unique keys).

    The connection must be in a transaction: a part of the jobs is never committed alone. `ahead`: nothing that `jobs`
    does uses this connection, so that it may be asked for more while a chunk is being sent.
    """
    bulk = Bulk()
    may_copy: bool | None = None
    wakes = False
    chunks = Chunks(jobs, FIRST_JOBS if ahead else ALONE_JOBS)
    while bulk.conflict is None and (chunk := chunks.take()):
        if may_copy is None:
            may_copy, may_batch = _rights(connection)
            batcher = DirectBatcher(is_allowed=may_batch)
        if not may_copy:
            _note_called(bulk, chunk, connection.execute(_INSERT_JOBS, _records(chunk)))
            continue
        wakes = wakes or any(job.envelope.wake for job in chunk)
        _copy(bulk, connection, chunk, chunks.read if ahead else _nothing, batcher)
        if not ahead:  # the iterator of jobs may go back to a savepoint
            batcher.batch_rest(connection)
    if bulk.ids and may_copy:
        batcher.batch_rest(connection)
        if wakes:
            wake(connection)
    return bulk


def insert_many_by(execute: Execute, jobs: Iterable[NewJob]) -> Bulk:
    """As `insert_many`, over a connection of the application's, by a function of the schema.

    In one statement, however many jobs there are: only so are all of them inserted or none, whatever the connection's
    transactions are like. Where there is a conflict, none is.
    """
    bulk = Bulk()
    given = list(jobs)
    if given:
        _note_called(bulk, given, execute(_INSERT_JOBS, _records(given)))
    return bulk


def added(connection: psycopg.Connection[Any], bulk: Bulk) -> list[Added]:
    """Return what the server added to the jobs just inserted, in their order."""
    ids = [job for job in bulk.ids if job is not None]
    return bulk.added or [Added(*row) for row in connection.execute(_INSERTED, {"ids": numbers(ids)})]


class Chunks:
    """Jobs on their way from a caller's iterable, a chunk at a time."""

    def __init__(self, jobs: Iterable[NewJob], first: int) -> None:
        """`first`: how many jobs the first chunk has, and each of which nothing has been read ahead."""
        self._jobs = iter(jobs)
        self._first = first
        self._chunk: list[NewJob] = []
        self._jobs_max = CHUNK_JOBS
        self._size = 0
        self._error: Exception | None = None

    def take(self) -> list[NewJob]:
        """Return the next chunk, empty at the end. Raises what the iterable raises."""
        if not self._chunk:
            self._read(self._first)
        if self._jobs_max == KEYED_JOBS:
            self._read(KEYED_JOBS)
        if self._error is not None:
            raise self._error
        chunk = self._chunk
        self._chunk, self._jobs_max, self._size = [], CHUNK_JOBS, 0
        return chunk

    def read(self, jobs: int) -> None:
        """Read so many jobs of the next chunk, if it is not full. What that raises is kept for `take`."""
        if self._error is None:
            try:
                self._read(jobs)
            except Exception as error:  # noqa: BLE001 - whatever it is, `take` raises it
                self._error = error

    def _read(self, jobs: int) -> None:
        chunk, size = self._chunk, self._size
        if size >= CHUNK_BYTES:
            return
        try:
            for job in islice(self._jobs, min(jobs, self._jobs_max - len(chunk))):
                chunk.append(job)
                size += len(job.args)
                if job.unique is not None:
                    self._jobs_max = KEYED_JOBS
                if size >= CHUNK_BYTES:
                    break
        finally:
            self._size = size


def _nothing(jobs: int) -> None:
    """Read no jobs."""


def _rights(connection: psycopg.Connection[Any]) -> tuple[bool, bool]:
    """Return whether this role may copy into the log, and whether it may file what it has copied."""
    row = connection.execute(_MAY_COPY).fetchone()
    assert row is not None
    may_copy, may_batch = row
    return may_copy, may_batch


def _copy(
    bulk: Bulk,
    connection: psycopg.Connection[Any],
    chunk: list[NewJob],
    read: Callable[[int], None],
    batcher: DirectBatcher,
) -> None:
    """Put a chunk into the log; `read` so many jobs of the next one while the server works."""
    keyed: list[int] = []
    is_batched = False

    def meanwhile() -> None:
        nonlocal keyed, is_batched
        keyed = [at for at, job in enumerate(chunk) if job.unique is not None]
        is_batched = not keyed and batcher.takes(chunk)
        read(ceil(len(chunk) * READ_MEANWHILE))

    taken, now = _take_ids(connection, len(chunk), meanwhile)
    ids: list[int | None] = [*taken]
    if keyed:
        _take_keys(bulk, connection, chunk, ids, keyed)
    remaining = rows(ids, chunk, now, is_batched=is_batched)
    elsewhere = READ_MEANWHILE + READ_AT_END * (1 + is_batched)
    read_jobs = ceil(PIECE_JOBS * max(0.0, min(GROWTH, CHUNK_JOBS / len(chunk)) - elsewhere))
    read_at_end = partial(read, ceil(len(chunk) * READ_AT_END))
    with _in_utf8(connection), connection.cursor().copy(_COPY_BATCHED if is_batched else _COPY) as copy:
        copy.write(BEGIN)
        while piece := b"".join(islice(remaining, PIECE_JOBS)):
            copy.write(piece)
            read(read_jobs)
        copy.write(END)
        read_at_end()
    if is_batched:
        with _in_utf8(connection):
            batcher.add(connection, chunk, taken, now)
        batcher.batch_full(connection, read_at_end)
    bulk.ids += ids


def _take_ids(
    connection: psycopg.Connection[Any], jobs: int, meanwhile: Callable[[], None]
) -> tuple[Sequence[int], datetime]:
    """Return ids for so many jobs, and the server's time; do something else `meanwhile`."""
    taken = execute_overlapped(connection, _TAKE_IDS, {"jobs": jobs}, meanwhile, binary=True).fetchone()
    assert taken is not None
    first, ids, now = taken
    return ids or range(first, first + jobs), now


@contextmanager
def _in_utf8(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Speak UTF-8 over a connection, whatever the application speaks over it."""
    database_encoding = connection.info.parameter_status("client_encoding")
    if database_encoding == "UTF8":
        yield
        return
    connection.execute(_ENCODING, {"name": "UTF8"})
    yield
    connection.execute(
        _ENCODING, {"name": database_encoding}
    )  # after an error their transaction, or savepoint, brings it back


def _take_keys(
    bulk: Bulk, connection: psycopg.Connection[Any], chunk: list[NewJob], ids: list[int | None], keyed: list[int]
) -> None:
    """Take the unique keys of a chunk. The jobs whose keys are taken lose their ids."""
    for at in _duplicates(connection, chunk, ids, keyed):
        ids[at] = None
        unique = chunk[at].unique
        if unique is not None and unique.is_required and bulk.conflict is None:
            row = connection.execute(_HOLDER, {"key": unique.key}).fetchone()
            bulk.conflict = Conflict(len(bulk.ids) + at, None if row is None or row[0] in ids else row[0])


def _duplicates(
    connection: psycopg.Connection[Any], chunk: list[NewJob], ids: list[int | None], keyed: list[int]
) -> list[int]:
    """Take the unique keys of a chunk; return the places of the jobs whose keys are taken."""
    uniques = [unique for at in keyed if (unique := chunk[at].unique) is not None]
    wanted = {
        "keys": byte_strings(unique.key for unique in uniques),
        "ids": numbers(ids[at] or 0 for at in keyed),
        "states": numbers(unique.states for unique in uniques),
    }
    lost = {row[0] for row in connection.execute(_CLAIM_KEYS, wanted)}
    return [at for at in keyed if ids[at] in lost] if lost else []


def _note_called(bulk: Bulk, chunk: list[NewJob], answer: Iterable[Any]) -> None:
    for job, (job_id, outcome, created_us, run_us, later, holder) in zip(chunk, answer, strict=True):
        if job_id is not None:
            run_at = None if run_us is None else from_microseconds(run_us)
            bulk.added.append(Added(job_id, from_microseconds(created_us), run_at, later))
        elif outcome == "existing" and job.unique is not None and job.unique.is_required and bulk.conflict is None:
            bulk.conflict = Conflict(len(bulk.ids), holder)
        bulk.ids.append(job_id)


def _records(chunk: list[NewJob]) -> dict[str, Any]:
    return {"jobs": ascii_json(msgspec.json.encode([_record(job) for job in chunk]))}


def _record(job: NewJob) -> dict[str, Any]:
    """Return a job as `awa.insert_jobs` takes it, without what has its default."""
    said, unique = job.envelope, job.unique
    record: dict[str, Any] = {
        "kind": said.kind,
        "queue": said.queue,
        "args": msgspec.Raw(job.args),
        "priority": said.priority,
        "run_at": said.run_at,
        "max_attempts": said.max_attempts,
        "tags": said.tags,
        "metadata": None if said.metadata is None else msgspec.Raw(said.metadata),
        "timeout_ms": said.timeout_ms,
        "delay_s": said.delay_s,
        "expires_at": said.expires_at,
        "unique_key": None if unique is None else unique.key.hex(),
        "unique_states": None if unique is None else unique.states,
        "ordering_key": None if said.ordering_key is None else said.ordering_key.hex(),
        "wake": None if said.wake else False,
        "required": True if unique is not None and unique.is_required else None,
    }
    return {name: value for name, value in record.items() if value is not None}
