"""The server: an embedded one of the run's own, to be stopped without mercy and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import psycopg

from awa import embedded
from awa.database.schema import chain
from awa.embedded.cluster import DATABASE
from tests.chaos import tables
from tests.fixtures.clock import REASON, Clock

SETTINGS = {
    "fsync": "off",  # the server's processes are killed, not the machine: what was written is there
    "full_page_writes": "off",
    "max_connections": "300",
    "max_wal_size": "512MB",
}
STOP_S = 30.0
SESSION = (
    "-c DateStyle=ISO -c client_encoding=UTF8 -c search_path=public -c default_transaction_isolation=read\\ committed "
    "-c default_transaction_read_only=off -c default_transaction_deferrable=off -c statement_timeout=0 "
    "-c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c standard_conforming_strings=on -c bytea_output=hex"
)
"""What the driver and the application ask of their own sessions: `hostile_sessions` is meant for Awa's."""


class Server:
    """PostgreSQL with Awa's schema and the tables of a run."""

    def __init__(self, path: Path, bin_dir: Path | None = None) -> None:
        """Make it in `path`. `bin_dir` holds PostgreSQL's programs; by default they are looked for."""
        self._path = path
        self._bin_dir = bin_dir
        self._lock = threading.Lock()
        self._clock = Clock(path.parent) if REASON is None else None
        self._server = self._start()
        with self.connect() as connection:
            chain.migrate(connection)
            tables.create(connection)

    @property
    def dsn(self) -> str:
        """The way in that no fault touches."""
        return self._server.dsn

    def connect(self, *, superuser: bool = False) -> psycopg.Connection[Any]:
        """A connection of the driver's to the database, as its owner or as the superuser."""
        how: dict[str, Any] = {"connect_timeout": 5, "application_name": "chaos", "options": SESSION}
        if superuser:
            how["dbname"] = DATABASE
        return psycopg.connect(self._server.superuser_dsn if superuser else self.dsn, autocommit=True, **how)

    def crash(self, away_s: float) -> bool:
        """Stop it at once (PostgreSQL's "immediate"), and start it again after a while; False while that goes on."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            os.kill(self._server.pid, signal.SIGQUIT)
            deadline = time.monotonic() + STOP_S
            while self._server.is_running() and time.monotonic() < deadline:
                time.sleep(0.01)
            self._server.stop()
            time.sleep(away_s)
            self._server = self._start()
        finally:
            self._lock.release()
        return True

    def set_clock(self, ahead_s: float) -> bool:
        """Set its clock so far from the real time; False where that cannot be done."""
        if self._clock is not None:
            self._clock.step(ahead_s)
        return self._clock is not None

    def stop(self) -> None:
        """Stop it in good order."""
        with self._lock:
            self._server.stop()

    def _start(self) -> embedded.Server:
        with self._clock.preloaded() if self._clock is not None else contextlib.nullcontext():
            return embedded.start(self._path, settings=SETTINGS, bin_dir=self._bin_dir)
