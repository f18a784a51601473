"""Awa: a Postgres-native background job queue for Python.

The names an application uses. Each is loaded at its first use, so that `import awa` costs a web process little.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from awa.version import __version__ as __version__

if TYPE_CHECKING:
    from awa.client.aio.client import AsyncClient as AsyncClient
    from awa.client.aio.client import migrate as migrate
    from awa.client.aio.transaction import Transaction as Transaction
    from awa.client.client import Client as Client
    from awa.database.schema.chain import current_migration_version as current_migration_version
    from awa.database.schema.chain import migrations as migrations
    from awa.database.schema.chain import migrations_range as migrations_range
    from awa.engine.admin.control import KnownNames as KnownNames
    from awa.engine.admin.control import QueueStat as QueueStat
    from awa.engine.admin.control import WorkerDeaths as WorkerDeaths
    from awa.engine.admin.waiting import WaitingReason as WaitingReason
    from awa.enqueue.prepare import InsertedMany as InsertedMany
    from awa.enqueue.transaction import SyncTransaction as SyncTransaction
    from awa.errors import AppLoadError as AppLoadError
    from awa.errors import AwaError as AwaError
    from awa.errors import CallbackNotFound as CallbackNotFound
    from awa.errors import DatabaseError as DatabaseError
    from awa.errors import EmbeddedError as EmbeddedError
    from awa.errors import JobCancelled as JobCancelled
    from awa.errors import JobNotFound as JobNotFound
    from awa.errors import JobTimeout as JobTimeout
    from awa.errors import LeaseLost as LeaseLost
    from awa.errors import LiveRuntimesRequireExclusiveWindow as LiveRuntimesRequireExclusiveWindow
    from awa.errors import NotCommitted as NotCommitted
    from awa.errors import OutcomeUnknown as OutcomeUnknown
    from awa.errors import RuntimeVersionFloorNotMet as RuntimeVersionFloorNotMet
    from awa.errors import SchemaNotMigrated as SchemaNotMigrated
    from awa.errors import SchemaTooNew as SchemaTooNew
    from awa.errors import SerializationError as SerializationError
    from awa.errors import StateConflict as StateConflict
    from awa.errors import StorageNotFinalized as StorageNotFinalized
    from awa.errors import TerminalError as TerminalError
    from awa.errors import UniqueConflict as UniqueConflict
    from awa.errors import UnknownJobKind as UnknownJobKind
    from awa.errors import ValidationError as ValidationError
    from awa.job.kind import derive_kind as derive_kind
    from awa.job.model import DlqEntry as DlqEntry
    from awa.job.model import Job as Job
    from awa.job.model import JobState as JobState
    from awa.job.model import RetryFailedResult as RetryFailedResult
    from awa.job.model import StopReason as StopReason
    from awa.job.partitioned_queue import PartitionedQueue as PartitionedQueue
    from awa.job.queue_policy import QueuePolicy as QueuePolicy
    from awa.job.unique import unique_key as unique_key
    from awa.task.outcome import Cancel as Cancel
    from awa.task.outcome import RetryAfter as RetryAfter
    from awa.task.outcome import Snooze as Snooze
    from awa.telemetry.current_job import JobLogFilter as JobLogFilter

_HOMES = {
    "awa.client.aio.client": "AsyncClient migrate",
    "awa.client.aio.transaction": "Transaction",
    "awa.client.client": "Client",
    "awa.database.schema.chain": "current_migration_version migrations migrations_range",
    "awa.engine.admin.control": "KnownNames QueueStat WorkerDeaths",
    "awa.engine.admin.waiting": "WaitingReason",
    "awa.enqueue.prepare": "InsertedMany",
    "awa.enqueue.transaction": "SyncTransaction",
    "awa.errors": (
        "AppLoadError AwaError CallbackNotFound DatabaseError EmbeddedError JobCancelled JobNotFound JobTimeout "
        "LeaseLost LiveRuntimesRequireExclusiveWindow NotCommitted OutcomeUnknown RuntimeVersionFloorNotMet "
        "SchemaNotMigrated SchemaTooNew SerializationError StateConflict StorageNotFinalized TerminalError "
        "UniqueConflict UnknownJobKind ValidationError"
    ),
    "awa.job.kind": "derive_kind",
    "awa.job.model": "DlqEntry Job JobState RetryFailedResult StopReason",
    "awa.job.partitioned_queue": "PartitionedQueue",
    "awa.job.queue_policy": "QueuePolicy",
    "awa.job.unique": "unique_key",
    "awa.task.outcome": "Cancel RetryAfter Snooze",
    "awa.telemetry.current_job": "JobLogFilter",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = ["__version__", *sorted(_HOME_OF)]  # noqa: PLE0604 - all of them are names


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'awa' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value  # asked for again, it is found without coming here
    return value


def __dir__() -> list[str]:
    return list(__all__)
