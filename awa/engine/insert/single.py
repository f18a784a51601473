"""Insert: put one job into the log, in the transaction the connection is in. Many at once: `bulk`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol

import msgspec
import psycopg

from awa.database.adapters.connection import as_text
from awa.database.guarded import unguarded
from awa.database.pipeline import execute_prepared
from awa.database.statements import statement
from awa.engine.arrays import texts

INSERT: Final = statement("insert/insert")
"""The one statement of a single insert."""
_TEXTS: Final = ("kind", "queue", "tags")
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")


def _with_escapes(sql: bytes) -> bytes:
    for name in _TEXTS:
        given = f"%({name})s::pg_catalog.text".encode()
        read = given + b"::pg_catalog.jsonb operator(pg_catalog.#>>) '{}'::pg_catalog.text[]"
        sql = sql.replace(given, b"(" + read + b")")
    return sql


_INSERT_ESCAPED: Final = _with_escapes(INSERT)
"""The same with names and tags as JSON, as arguments are: in ASCII, so that they pass through any client encoding."""


class Unique(msgspec.Struct, frozen=True, gc=False):
    """The unique key of a new job."""

    key: bytes
    states: int
    """The states in which the job holds its key: bit i is the state of value i."""
    is_required: bool = False
    """In a bulk insert: if this job has to be left out, all are."""


class Envelope(NamedTuple):
    """The parameters of a job beside its arguments and unique key. Equal jobs share one."""

    queue: str
    kind: str
    priority: int
    max_attempts: int | None
    """None: as its task says."""
    run_at: datetime | None = None
    metadata: bytes | None = None
    """JSON."""
    tags: list[str] | None = None
    timeout_ms: int | None = None
    """Time limit of an attempt in milliseconds; 0: none; None: that of its task or queue."""
    delay_s: float | None = None
    """Instead of run_at: seconds from now, by the server's clock."""
    expires_at: datetime | None = None
    """Not started by then, it is cancelled."""
    ordering_key: bytes | None = None
    wake: bool = True
    """True if idle nodes are told of it; else their poll finds it."""


class NewJob(msgspec.Struct, frozen=True, gc=False):
    """A job about to be inserted; all of it has been validated.

    No tuple: of those the garbage collector keeps account, and would look through all that wait to be inserted.
    """

    args: bytes
    """JSON."""
    envelope: Envelope
    unique: Unique | None = None


class Inserted(NamedTuple):
    """The result of inserting one job."""

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
    max_attempts: int | None
    """Of the job; None where this role may not read it."""


class Execute(Protocol):
    """Runs a statement with `%(name)s` parameters; returns its rows."""

    def __call__(self, sql: bytes, parameters: Mapping[str, Any], /) -> list[Any]: ...


def insert(connection: psycopg.Connection[Any], job: NewJob, *, replace: bool = False) -> Inserted:
    """Insert one job: one statement, no commit. See `parameters` for `replace`."""
    # Not guarded: the statement is right under any settings, and making them would be more work than it is.
    sql, given = insertion(job, replace=replace)
    row = execute_prepared(unguarded(connection), sql, given, prepare=None, binary=True).fetchone()
    assert row is not None
    return Inserted(*as_text(row))


def insertion(job: NewJob, *, replace: bool = False) -> tuple[bytes, dict[str, Any]]:
    """Return the statement that inserts a job, and its parameters, of ASCII only: for `Execute`. See `parameters`."""
    given = parameters(job, replace=replace)
    if all(given[name] is None or given[name].isascii() for name in _TEXTS):
        return INSERT, given
    return _INSERT_ESCAPED, {**given, **{name: json.dumps(given[name]) for name in _TEXTS if given[name] is not None}}


def parameters(job: NewJob, *, replace: bool = False) -> dict[str, Any]:
    """Return the parameters of `INSERT`: text and numbers only, since libraries differ in what they make of the rest.

    A job that holds the unique key already is never an error of the statement, which would end the transaction of the
    caller: it is returned, or, with `replace`, gets the contents of the new one if it has not been started.
    """
    said, unique = job.envelope, job.unique
    return {
        "kind": said.kind,
        "args": ascii_json(job.args),
        "queue": said.queue,
        "priority": said.priority,
        "run_at": None if said.run_at is None else said.run_at.isoformat(),
        "max_attempts": said.max_attempts,
        "tags": None if said.tags is None else texts(said.tags),
        "metadata": None if said.metadata is None else ascii_json(said.metadata),
        "unique_key": None if unique is None else unique.key.hex(),
        "unique_states": None if unique is None else unique.states,
        "ordering_key": None if said.ordering_key is None else said.ordering_key.hex(),
        "opts": _opts(said, None if unique is None else "replace" if replace else "skip"),
    }


def ascii_json(document: bytes) -> str:
    """Return a JSON document in characters that every client encoding has: the application may have chosen any."""
    if document.isascii():
        return document.decode()
    return _NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], document.decode())


def _opts(said: Envelope, on_conflict: str | None) -> str | None:
    given: dict[str, Any] = {}
    if said.timeout_ms is not None:
        given["timeout_ms"] = said.timeout_ms
    if said.delay_s is not None:
        given["delay_s"] = said.delay_s
    if said.expires_at is not None:
        given["expires_at"] = said.expires_at.isoformat()
    if not said.wake:
        given["wake"] = False
    if on_conflict is not None:
        given["on_conflict"] = on_conflict
    return msgspec.json.encode(given).decode() if given else None
