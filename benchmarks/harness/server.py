"""A private PostgreSQL with the durability people run in production: fsync and synchronous_commit on."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from awa import embedded
from awa.database.open import connect
from awa.database.schema import chain
from awa.embedded import Server

SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "4GB", "max_connections": "200"}

OWNER = "bench"
"""Owns the contenders' databases. Not the embedded server's own role: that one is called like a schema of two of them,
and what `$user` in the search path would do then is not what anybody's users have."""


@contextmanager
def fresh_server(settings: Mapping[str, str] = SETTINGS) -> Iterator[Server]:
    """Yield a new server that is gone afterwards, data and all."""
    # Left to `embedded` to create: it knows which user the server runs as, and that user must be able to enter.
    home = Path(tempfile.gettempdir()) / f"awa-bench-{secrets.token_hex(6)}"
    try:
        with embedded.start(home, settings=dict(settings)) as server:
            with connect(server.dsn, role="benchmark") as connection:
                _insist_on_durability(connection)
            try:
                yield server
            finally:
                # Nobody will read what is in it: it need not write its buffers out before it ends.
                with suppress(ProcessLookupError):
                    os.kill(server.pid, signal.SIGQUIT)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def fresh_database() -> Iterator[str]:
    """Yield the DSN of a new database with the schema, on a server that is gone afterwards."""
    with fresh_server() as server:
        with connect(server.dsn, role="benchmark") as connection:
            chain.migrate(connection)
        yield server.dsn


def another_database(server: Server, name: str) -> str:
    """Make an empty database beside the others; return a DSN that every driver understands."""
    with psycopg.connect(server.superuser_dsn, autocommit=True) as connection:
        if not connection.execute("select 1 from pg_roles where rolname = %s", [OWNER]).fetchone():
            connection.execute(sql.SQL("create role {} login").format(sql.Identifier(OWNER)))
        connection.execute(sql.SQL("create database {} owner {}").format(sql.Identifier(name), sql.Identifier(OWNER)))
    parts = conninfo_to_dict(server.dsn)
    # With a host in its place, overruled by the parameter: some parsers of URLs refuse an empty one.
    return f"postgresql://{OWNER}@localhost/{name}?host={parts['host']}&port={parts['port']}"


def facts(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """Return the settings that decide what a figure means."""
    names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size")
    return {name: connection.execute(f"show {name}").fetchone()[0] for name in names}  # type: ignore[index]


def _insist_on_durability(connection: psycopg.Connection[Any]) -> None:
    found = facts(connection)
    if (found["fsync"], found["synchronous_commit"]) != ("on", "on"):
        raise RuntimeError(f"refusing to measure without durability: {found}")
