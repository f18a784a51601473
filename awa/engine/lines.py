"""The lines of a COPY into the log: text format, columns as insert/copy.sql names them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from awa.engine.arrays import texts
from awa.engine.insert import NewJob


def lines(ids: Sequence[int | None], jobs: Iterable[NewJob], now: datetime) -> Iterator[bytes]:
    """Yield one line a job, but for those without an id. What comes before the arguments is mostly the same for all
    jobs, so it is kept."""
    common: dict[tuple[Any, ...], bytes] = {}
    for job_id, job in zip(ids, jobs, strict=True):
        if job_id is None:
            continue
        unique = job.unique
        # Not job.args, and of job.unique what many share.
        key = (*job[:5], *job[6:11], job[12], unique and unique.states) if job.tags is None else None
        middle = common.get(key) if key is not None else None
        if middle is None:
            middle = _middle(job, now)
            if key is not None:
                common[key] = middle
        unique_key = rb"\N" if unique is None else rb"\\x" + unique.key.hex().encode()
        yield b"%d\t%b\t%b\t%b\n" % (job_id, middle, unique_key, _escaped(job.args))


def _middle(job: NewJob, now: datetime) -> bytes:
    """Return the columns from queue to ordering_key."""
    run_at = job.run_at if job.delay_s is None else now + timedelta(seconds=job.delay_s)
    fields = (
        job.queue,
        job.kind,
        str(job.priority),
        str(job.max_attempts),
        None if job.timeout_ms is None else str(job.timeout_ms),
        None if run_at is None else run_at.isoformat(),
        None if job.metadata is None else job.metadata.decode(),
        None if job.tags is None else texts(job.tags),
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
