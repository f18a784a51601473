"""Django's connections in workers: none is inherited across a fork, none goes stale between jobs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.db import close_old_connections, connections, reset_queries

_inherited: Final[list[Any]] = []
"""Connections and pools of the parent: not closed here, which would end its sessions, and not finalised either."""
_is_worker = False


def begin_worker() -> None:
    """Let go of all connections and pools that the parent has opened, in a process just forked from it."""
    global _is_worker
    _is_worker = True
    for wrapper in connections.all(initialized_only=True):
        _inherited.append(wrapper)
        del connections[wrapper.alias]  # Django makes another at the next use
        pools = getattr(wrapper, "_connection_pools", None)  # Django 5.1 and later
        if pools:
            _inherited.extend(pools.values())
            pools.clear()


@contextmanager
def clean_connections(job: Any) -> Iterator[None]:
    """Do around a job what Django does around a request."""
    if _is_worker:
        reset_queries()
    close_old_connections()
    try:
        yield
    finally:
        if _is_worker:
            _abandon_transactions()
        close_old_connections()


def _abandon_transactions() -> None:
    """End what a handler has begun and never ended: the next job would run inside of it."""
    for wrapper in connections.all(initialized_only=True):
        if wrapper.in_atomic_block:
            wrapper.close()  # the server rolls back
            del connections[wrapper.alias]
