"""The lines of a COPY into the log: text format, columns as insert/copy.sql names them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

from awa.engine.arrays import texts
from awa.engine.insert import Envelope, NewJob

NULL: Final = rb"\N"


def lines(ids: Sequence[int | None], jobs: Sequence[NewJob], now: datetime) -> Iterator[bytes]:
    """Yield one line a job, but for those without an id. An envelope is written once, however many jobs share it."""
    written: dict[int, bytes] = {}  # by its address: the jobs hold it for as long as this lasts
    for job_id, (args, envelope, unique) in zip(ids, jobs, strict=True):
        if job_id is None:
            continue
        middle = written.get(id(envelope))
        if middle is None:
            middle = written[id(envelope)] = _written(envelope, now)
        states, key = (NULL, NULL) if unique is None else (b"%d" % unique.states, rb"\\x" + unique.key.hex().encode())
        yield b"%d\t%b\t%b\t%b\t%b\n" % (job_id, middle, states, key, _escaped(args))


def _written(envelope: Envelope, now: datetime) -> bytes:
    """Return the columns from queue to ordering_key."""
    run_at = envelope.run_at if envelope.delay_s is None else now + timedelta(seconds=envelope.delay_s)
    fields = (
        envelope.queue,
        envelope.kind,
        str(envelope.priority),
        str(envelope.max_attempts),
        None if envelope.timeout_ms is None else str(envelope.timeout_ms),
        None if run_at is None else run_at.isoformat(),
        None if envelope.metadata is None else envelope.metadata.decode(),
        None if envelope.tags is None else texts(envelope.tags),
        None if envelope.expires_at is None else envelope.expires_at.isoformat(),
        None if envelope.ordering_key is None else "\\x" + envelope.ordering_key.hex(),
    )
    return b"\t".join(map(_field, fields))


def _field(text: str | None) -> bytes:
    return NULL if text is None else _escaped(text.encode())


def _escaped(text: bytes) -> bytes:
    # JSON that was embedded raw may have line breaks and tabs between its tokens.
    return text.replace(b"\\", rb"\\").replace(b"\t", rb"\t").replace(b"\n", rb"\n").replace(b"\r", rb"\r")
