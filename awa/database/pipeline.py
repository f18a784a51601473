"""Sends several statements in one round trip."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import psycopg

_BEGIN: Final = b"begin isolation level read committed"
_COMMIT: Final = b"commit"


@contextmanager
def one_trip(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Run the block's statements as one READ COMMITTED transaction, sent together; read their results after it.

    Each statement still gets a snapshot of its own, which sealing and settling rely on. The driver's own block in a
    pipeline waits for the server four times: after the begin, the statements, the commit, and once more at the end.
    """
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED  # refused in the middle of a transaction
    if not connection.autocommit:  # a caller's: the driver begins the transaction, whatever we do
        with connection.pipeline(), connection.transaction():
            yield
        return
    try:
        with connection.pipeline():
            connection.execute(_BEGIN, prepare=True)
            yield
            connection.execute(_COMMIT, prepare=True)
    except BaseException:
        if not connection.closed:
            with suppress(psycopg.Error):  # it broke, and whoever uses it next is told so
                connection.rollback()
        raise
