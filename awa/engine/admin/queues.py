"""Queues: what is set for each of them."""

from __future__ import annotations

from typing import Any

import psycopg

from awa.database.pipeline import records
from awa.database.statements import statement
from awa.job.queue_policy import QueuePolicy, with_defaults

_POLICY = statement("queues/policy")
_CONFIGURE = statement("queues/configure")
_FORGET = statement("queues/forget")


def policy(connection: psycopg.Connection[Any], queue: str) -> QueuePolicy:
    """Return how the jobs of a queue are treated; of an unknown one, the defaults."""
    found = records(connection, _POLICY, {"queue": queue})
    return QueuePolicy(queue, **found[0]) if found else QueuePolicy(queue)


def configure(connection: psycopg.Connection[Any], queue: str, changes: dict[str, Any]) -> None:
    """Change the policy of a queue: `changes` has fields of `QueuePolicy`, whose values have been checked."""
    connection.execute(_CONFIGURE, {"queue": queue, "given": list(changes), **with_defaults(changes)})
    forget(connection, queue)


def forget(connection: psycopg.Connection[Any], queue: str) -> None:
    """Forget a queue that is not paused and has nothing set but defaults; it stays known as long as jobs have it."""
    connection.execute(_FORGET, {"queue": queue, **with_defaults({})})
