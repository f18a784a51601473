"""Insert: put jobs into the log, in the transaction the connection is in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, Final, NamedTuple

import psycopg

from awa.database.statements import statement
from awa.engine.arrays import numbers

CHUNK_JOBS: Final = 10_000
"""Jobs a bulk insert holds in memory at a time."""

_INSERT = statement("insert/insert")
_TAKE_IDS = statement("insert/take_ids")
_COPY = statement("insert/copy")
_INSERTED = statement("insert/inserted")
_WAKE = statement("insert/wake")


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


class Inserted(NamedTuple):
    """What the server added to a new job."""

    id: int
    created_at: datetime
    run_at: datetime | None
    later: bool | None
    """Whether run_at lies in the future, by the server's clock; None without a run_at."""


def insert(connection: psycopg.Connection[Any], job: NewJob) -> Inserted:
    """Insert one job: one statement, no commit."""
    row = connection.execute(
        _INSERT,
        {
            **job._asdict(),
            "args": job.args.decode(),
            "metadata": None if job.metadata is None else job.metadata.decode(),
        },
    ).fetchone()
    assert row is not None
    return Inserted(*row[:4])


def insert_many(connection: psycopg.Connection[Any], jobs: Iterable[NewJob]) -> list[int]:
    """Insert any number of jobs by COPY, holding at most `CHUNK_JOBS` of them in memory; return their ids, in order.

    The connection must be in a transaction: a part of the jobs is never committed alone.
    """
    ids: list[int] = []
    remaining = iter(jobs)
    while chunk := list(islice(remaining, CHUNK_JOBS)):
        ids += _insert_chunk(connection, chunk)
    if ids:
        wake(connection)
    return ids


def inserted(connection: psycopg.Connection[Any], ids: list[int]) -> list[Inserted]:
    """Return what the server added to jobs just inserted, in the order of their ids, which is that of a bulk insert."""
    return [Inserted(*row) for row in connection.execute(_INSERTED, {"ids": numbers(ids)})]


def wake(connection: psycopg.Connection[Any]) -> None:
    """Wake nodes with idle workers, when the connection's transaction commits. Costs nothing while all are busy."""
    connection.execute(_WAKE)


def _insert_chunk(connection: psycopg.Connection[Any], chunk: list[NewJob]) -> list[int]:
    taken = connection.execute(_TAKE_IDS, {"jobs": len(chunk)}, binary=True).fetchone()
    assert taken is not None
    ids: list[int] = taken[0]
    with connection.cursor().copy(_COPY) as copy:
        copy.write(b"".join(_lines(ids, chunk)))
    return ids


def _lines(ids: list[int], chunk: list[NewJob]) -> Iterator[bytes]:
    """Yield one COPY line a job. What comes before the arguments is mostly the same for all jobs, so it is kept."""
    common: dict[tuple[Any, ...], bytes] = {}
    for job_id, job in zip(ids, chunk, strict=True):
        queue, kind, priority, max_attempts, run_at, args, metadata, tags, timeout_ms = job
        key = (queue, kind, priority, max_attempts, timeout_ms, run_at, metadata, *(tags or ()))
        middle = common.get(key)
        if middle is None:
            middle = common[key] = _middle(job)
        yield b"%d\t%b\t%b\n" % (job_id, middle, _escaped(args))


def _middle(job: NewJob) -> bytes:
    """Return the COPY columns from queue to tags."""
    fields = (
        job.queue,
        job.kind,
        str(job.priority),
        str(job.max_attempts),
        None if job.timeout_ms is None else str(job.timeout_ms),
        None if job.run_at is None else job.run_at.isoformat(),
        None if job.metadata is None else job.metadata.decode(),
        None if job.tags is None else _array(job.tags),
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
