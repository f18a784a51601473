"""Awa: a Postgres-native background job queue for Python.

The names an application uses. Each is loaded at its first use, so that `import awa` costs a web process little.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from awa.version import __version__ as __version__

if TYPE_CHECKING:
    from awa.async_client import AsyncClient as AsyncClient
    from awa.async_client import migrate as migrate
    from awa.async_transaction import Transaction as Transaction
    from awa.client import Client as Client
    from awa.database.schema import current_migration_version as current_migration_version
    from awa.database.schema import migrations as migrations
    from awa.database.schema import migrations_range as migrations_range
    from awa.engine.control import KnownNames as KnownNames
    from awa.engine.control import QueueStat as QueueStat
    from awa.engine.control import WorkerDeaths as WorkerDeaths
    from awa.engine.waiting import WaitingReason as WaitingReason
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
    from awa.job import DlqEntry as DlqEntry
    from awa.job import Job as Job
    from awa.job import JobState as JobState
    from awa.job import RetryFailedResult as RetryFailedResult
    from awa.job import StopReason as StopReason
    from awa.job_log import JobLogFilter as JobLogFilter
    from awa.kinds import derive_kind as derive_kind
    from awa.outcome import Cancel as Cancel
    from awa.outcome import RetryAfter as RetryAfter
    from awa.outcome import Snooze as Snooze
    from awa.partitions import PartitionedQueue as PartitionedQueue
    from awa.producing import InsertedMany as InsertedMany
    from awa.queue_policy import QueuePolicy as QueuePolicy
    from awa.transaction import SyncTransaction as SyncTransaction
    from awa.unique import unique_key as unique_key

_HOMES = {
    "awa.async_client": "AsyncClient migrate",
    "awa.async_transaction": "Transaction",
    "awa.client": "Client",
    "awa.database.schema": "current_migration_version migrations migrations_range",
    "awa.engine.control": "KnownNames QueueStat WorkerDeaths",
    "awa.engine.waiting": "WaitingReason",
    "awa.errors": (
        "AppLoadError AwaError CallbackNotFound DatabaseError EmbeddedError JobCancelled JobNotFound JobTimeout "
        "LeaseLost LiveRuntimesRequireExclusiveWindow NotCommitted OutcomeUnknown RuntimeVersionFloorNotMet "
        "SchemaNotMigrated "
        "SchemaTooNew SerializationError StateConflict StorageNotFinalized TerminalError UniqueConflict UnknownJobKind "
        "ValidationError"
    ),
    "awa.job": "DlqEntry Job JobState RetryFailedResult StopReason",
    "awa.job_log": "JobLogFilter",
    "awa.kinds": "derive_kind",
    "awa.outcome": "Cancel RetryAfter Snooze",
    "awa.partitions": "PartitionedQueue",
    "awa.producing": "InsertedMany",
    "awa.queue_policy": "QueuePolicy",
    "awa.transaction": "SyncTransaction",
    "awa.unique": "unique_key",
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
