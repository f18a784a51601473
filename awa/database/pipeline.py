"""Sends several statements in one round trip."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg


@contextmanager
def one_trip(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Run the block's statements as one READ COMMITTED transaction, sent together; read their results after it.

    Each statement still gets a snapshot of its own, which sealing and settling rely on.
    """
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    with connection.pipeline(), connection.transaction():
        yield
