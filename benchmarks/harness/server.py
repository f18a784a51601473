"""A private PostgreSQL with the durability people run in production: fsync and synchronous_commit on."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from awa import embedded
from awa.database import schema
from awa.database.connections import connect

SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "4GB", "max_connections": "200"}


@contextmanager
def fresh_database() -> Iterator[str]:
    """Yield the DSN of a new database with the schema, on a server that is gone afterwards."""
    # Left to `embedded` to create: it knows which user the server runs as, and that user must be able to enter.
    home = Path(tempfile.gettempdir()) / f"awa-bench-{secrets.token_hex(6)}"
    try:
        with embedded.start(home, settings=SETTINGS) as server:
            with connect(server.dsn, role="benchmark") as connection:
                _insist_on_durability(connection)
                schema.migrate(connection)
            yield server.dsn
    finally:
        shutil.rmtree(home, ignore_errors=True)


def facts(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """Return the settings that decide what a figure means."""
    names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size")
    return {name: connection.execute(f"show {name}").fetchone()[0] for name in names}  # type: ignore[index]


def _insist_on_durability(connection: psycopg.Connection[Any]) -> None:
    found = facts(connection)
    if (found["fsync"], found["synchronous_commit"]) != ("on", "on"):
        raise RuntimeError(f"refusing to measure without durability: {found}")
