"""Nodes: sign nodes and workers in and out, record heartbeats, and mark idle nodes for wake-ups."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import psycopg

from awa.database.statements import statement
from awa.version import __version__

STALE_PER_HEARTBEAT: Final = 3
"""A node is presumed dead after this many heartbeats did not come."""

_REGISTER_NODE = statement("nodes/register_node")
_UPDATE_NODE = statement("nodes/update_node")
_REGISTER_WORKER = statement("nodes/register_worker")
_TELL_TASKS = statement("nodes/tell_tasks")
_PROCESS = statement("nodes/process")
_HEARTBEAT = statement("nodes/heartbeat")
_BEATS = statement("nodes/beats")
_KILLED = statement("nodes/killed")
_LEAVE_NODE = statement("nodes/leave_node")
_IDLE = statement("nodes/idle")
_BUSY = statement("nodes/busy")
_CLOCK = statement("nodes/clock")
_WAKE = statement("nodes/wake")


def clock_us(connection: psycopg.Connection[Any]) -> int:
    """Return the server's time, microseconds since the epoch."""
    row = connection.execute(_CLOCK).fetchone()
    assert row is not None
    return int(row[0])


def register_node(
    connection: psycopg.Connection[Any],
    name: str,
    kinds: Sequence[str] = (),
    queues: Sequence[str] | None = None,
    *,
    is_inline: bool = False,
) -> int:
    """Sign a node in that has handlers for `kinds` and works on `queues` (None: all); return its id.

    `is_inline`: the node lives no longer than `connection`, which does not lead through a pooler.
    """
    row = connection.execute(
        _REGISTER_NODE,
        {
            "name": name,
            "pid": os.getpid(),
            "version": __version__,
            "kinds": list(kinds),
            "queues": None if queues is None else list(queues),
            "is_inline": is_inline,
        },
    ).fetchone()
    assert row is not None
    return int(row[0])


def killed(connection: psycopg.Connection[Any]) -> dict[int, int]:
    """Return the inline nodes whose connection has ended, with the count of their heartbeats: they were killed."""
    return dict(connection.execute(_KILLED).fetchall())


def update_node(
    connection: psycopg.Connection[Any], node: int, kinds: Sequence[str], queues: Sequence[str] | None
) -> None:
    """Note that `node` has handlers for `kinds` and works on `queues` (None: all) from now on."""
    connection.execute(
        _UPDATE_NODE, {"node": node, "kinds": list(kinds), "queues": None if queues is None else list(queues)}
    )


def register_worker(connection: psycopg.Connection[Any], node: int) -> int | None:
    """Sign this process in as a worker of `node`; return its id, None when the node has been declared dead."""
    row = connection.execute(_REGISTER_WORKER, {"node": node, "pid": os.getpid()}).fetchone()
    return None if row is None else int(row[0])


def tell_tasks(connection: psycopg.Connection[Any], max_attempts: Mapping[str, int]) -> None:
    """Note how often the jobs of each kind may be started that were inserted without saying it."""
    kinds, numbers = list(max_attempts), list(max_attempts.values())
    connection.execute(_TELL_TASKS, {"kinds": kinds, "max_attempts": numbers})


def workers_of(connection: psycopg.Connection[Any], node: int, pid: int) -> list[int]:
    """Return the ids under which the process `pid` of `node` has signed in, oldest first.

    There is at most one, unless the system has used the number again before the first was signed out."""
    return [int(row[0]) for row in connection.execute(_PROCESS, {"node": node, "pid": pid})]


class Heard(NamedTuple):
    """The answer to a heartbeat."""

    clock_us: int
    """The server's time, microseconds since the epoch."""
    beats: dict[int, int]
    """Number of heartbeats by node."""


def heartbeat(connection: psycopg.Connection[Any], node: int) -> Heard | None:
    """Say that `node` lives. None: it has been declared dead and must sign in again."""
    row = connection.execute(_HEARTBEAT, {"node": node}).fetchone()
    return None if row is None else Heard(row[0], dict(zip(row[1], row[2], strict=True)))


def beats(connection: psycopg.Connection[Any]) -> dict[int, int]:
    """Return how many heartbeats there were of each node."""
    return dict(connection.execute(_BEATS).fetchall())


def leave_node(connection: psycopg.Connection[Any], node: int) -> None:
    """Sign a node out, with its workers. One whose workers still hold a lease stays, to be rescued when it is stale."""
    connection.execute(_LEAVE_NODE, {"node": node})


def idle(connection: psycopg.Connection[Any], node: int) -> None:
    """Ask producers to wake this node."""
    connection.execute(_IDLE, {"node": node})


def busy(connection: psycopg.Connection[Any], node: int) -> None:
    """Ask producers to wake this node no more."""
    connection.execute(_BUSY, {"node": node})


def wake(connection: psycopg.Connection[Any]) -> None:
    """Wake nodes with idle workers, when the connection's transaction commits. Costs nothing while all are busy."""
    connection.execute(_WAKE)
