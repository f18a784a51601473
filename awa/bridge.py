"""Insert a job over the application's own connection, for those who have no `Client` at hand.

One statement, in the transaction the connection is in, never committed here. `client.insert(args, connection=…)` does
the same, and knows the tasks, so that a job finds its queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from awa.database.adapters.async_connection import adapt_async, require_async_adapter
from awa.database.adapters.connection import adapt
from awa.database.errors import translated_foreign
from awa.engine.insert import single as engine
from awa.engine.insert.single import Inserted, NewJob
from awa.enqueue.inserter import insert_over
from awa.enqueue.prepare import new_job
from awa.enqueue.results import inserted_job
from awa.job.model import Job
from awa.job.options import Options, check_options
from awa.task.registry import Registry

_NO_TASKS: Final = Registry()
_FIELDS: Final = (
    "id", "kind", "queue", "args", "priority", "attempt", "max_attempts", "run_at", "created_at", "metadata", "tags",
    "expires_at", "unique_key", "ordering_key", "conflict",
)  # fmt: skip


def insert_job_sync(connection: Any, args: Any, **options: Any) -> dict[str, Any]:
    """Insert one job; return it as a dict.

    Args:
        connection: of psycopg or psycopg2, a Connection or Session of SQLAlchemy, a connection of Django or its alias.
        args: as for `Client.insert`; a plain dict needs `kind`, or has it under that key.
        options: those of `Client.insert`.

    Raises:
        TypeError: `connection` is none that is known here, or a dict has no kind.
        ValidationError, UniqueConflict, DatabaseError: as `Client.insert`.
    """
    checked, job = _prepared(args, options)
    if adapt_async(connection) is not None:
        raise TypeError("insert_job_sync was given an asynchronous connection; await awa.bridge.insert_job with it")
    inserted = insert_over(adapt(connection).execute, job, replace=_replaces(checked))
    return _as_dict(inserted_job(job, inserted, checked.unique))


async def insert_job(connection: Any, args: Any, **options: Any) -> dict[str, Any]:
    """As `insert_job_sync`, over an asynchronous connection: of psycopg or asyncpg, an AsyncConnection or AsyncSession
    of SQLAlchemy."""
    checked, job = _prepared(args, options)
    execute = require_async_adapter(connection).execute
    with translated_foreign("insert a job"):
        (row,) = await execute(*engine.insertion(job, replace=_replaces(checked)))
    return _as_dict(inserted_job(job, Inserted(*row), checked.unique))


def _prepared(args: Any, options: Mapping[str, Any]) -> tuple[Options, NewJob]:
    checked = check_options(**{**options, "kind": _kind(args, options.get("kind"))})
    return checked, new_job(_NO_TASKS, args, checked)


def _kind(args: Any, kind: str | None) -> str | None:
    if kind is not None or not isinstance(args, Mapping):
        return kind
    named = args.get("kind")
    if not isinstance(named, str):
        raise TypeError('a dict does not say which kind of job it is: pass kind="…", or have it under the key "kind"')
    return named


def _replaces(options: Options) -> bool:
    return options.unique is not None and options.unique.on_conflict == "replace"


def _as_dict(job: Job) -> dict[str, Any]:
    return {**{name: getattr(job, name) for name in _FIELDS}, "state": str(job.state)}
