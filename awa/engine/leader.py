"""Leader: elect the node that runs the leader's duties, and find ready jobs that no live node will run."""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg

from awa.database.statements import statement

_ELECT = statement("leader/elect")
_UNCLAIMED = statement("leader/unclaimed")
_RESIGN = statement("leader/resign")


class Unclaimed(NamedTuple):
    """Jobs that are ready and that no live node will run."""

    kind: str
    queue: str
    jobs: int
    kind_known: bool
    """A live node has a handler for the kind; it is the queue that no node serves."""


def unclaimed(connection: psycopg.Connection[Any]) -> list[Unclaimed]:
    """Return what is ready and waits for a node that is not there."""
    return [Unclaimed(*row) for row in connection.execute(_UNCLAIMED)]


class Election(NamedTuple):
    """The outcome of an election."""

    term: int | None
    """The term, when this node leads."""
    confirmed: int
    """Number of confirmations of the leadership, by any node."""


def elect(
    connection: psycopg.Connection[Any], node: int, lapsed: int | None = None, *, pooled: bool = False
) -> Election:
    """Take or confirm the leadership, if it is free, this node's, or lapsed.

    Args:
        connection: as everywhere.
        node: who stands for election.
        lapsed: a value of `confirmed` that has not changed for as long as a leader is trusted.
        pooled: the connection leads through a transaction pooler.
    """
    row = connection.execute(_ELECT, {"node": node, "lapsed": lapsed, "pooled": pooled}).fetchone()
    assert row is not None, "awa.leader has one row"
    return Election(*row)


def resign(connection: psycopg.Connection[Any], node: int) -> None:
    """Give the leadership up, if this node has it."""
    connection.execute(_RESIGN, {"node": node})
