"""The rows of a COPY into the log, in PostgreSQL's binary format, with the columns that insert/copy.sql names.

The server reads them in less time than text, in which it looks for the end of each line and field, and nothing needs
to be escaped. The format: https://www.postgresql.org/docs/current/sql-copy.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, timezone
from functools import partial
from struct import Struct
from typing import Final

from awa.engine.insert.single import Envelope, NewJob

BEGIN: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END: Final = b"\xff\xff"
NULL: Final = b"\xff\xff\xff\xff"

_VERSION: Final = 1
_JSONB: Final = b"\1"
"""jsonb begins with the version of its format."""
_TEXT_OID: Final = 25
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=timezone.utc)
_COLUMNS: Final = 14

_head = Struct("!hiqiB").pack
"""The number of columns; the id, behind its length; the length of the arguments, and their version byte."""
_short, _int, _long, _array = (Struct(form).pack for form in ("!h", "!i", "!q", "!iiiii"))


def rows(
    ids: Sequence[int | None], jobs: Sequence[NewJob], now: datetime, *, is_batched: bool = False
) -> Iterator[bytes]:
    """Yield one row a job, but for those without an id. An envelope is written once, however many jobs share it.

    `is_batched`: the rows are for insert/copy_batched.sql, with two columns more: no xid, and `now`.
    """
    more = NULL + _field(_moment(now)) if is_batched else b""
    head = partial(_head, _COLUMNS + 2 * is_batched, 8)
    written: dict[int, tuple[bytes, bytes]] = {}  # by its address: the jobs hold it for as long as this lasts
    for job_id, job in zip(ids, jobs, strict=True):
        if job_id is None:
            continue
        args, envelope, unique = job.args, job.envelope, job.unique
        known = written.get(id(envelope))
        if known is None:
            rest = _written(envelope, now)
            known = written[id(envelope)] = rest, rest + NULL + NULL + more
        start = head(job_id, len(args) + 1, _VERSION)
        if unique is None:
            yield b"".join((start, args, known[1]))
        else:
            yield b"".join((start, args, known[0], _field(_short(unique.states)), _field(unique.key), more))


def _written(envelope: Envelope, now: datetime) -> bytes:
    """Return the columns from queue to ordering_key."""
    run_at = envelope.run_at if envelope.delay_s is None else now + timedelta(seconds=envelope.delay_s)
    fields = (
        envelope.queue.encode(),
        envelope.kind.encode(),
        _short(envelope.priority),
        None if envelope.max_attempts is None else _short(envelope.max_attempts),
        None if envelope.timeout_ms is None else _int(envelope.timeout_ms),
        None if run_at is None else _moment(run_at),
        None if envelope.metadata is None else _JSONB + envelope.metadata,
        None if envelope.tags is None else _texts(envelope.tags),
        None if envelope.expires_at is None else _moment(envelope.expires_at),
        envelope.ordering_key,
    )
    return b"".join(map(_field, fields))


def _field(value: bytes | None) -> bytes:
    return NULL if value is None else _int(len(value)) + value


def _moment(moment: datetime) -> bytes:
    return _long((moment - _EPOCH) // timedelta(microseconds=1))


def _texts(values: Sequence[str]) -> bytes:
    """Return a text[]: how many dimensions, whether there are nulls, of what, how many, the index of the first."""
    if not values:
        return _int(0) + _int(0) + _int(_TEXT_OID)
    return _array(1, 0, _TEXT_OID, len(values), 1) + b"".join(_field(value.encode()) for value in values)
