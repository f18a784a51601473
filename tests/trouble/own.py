"""A server of a test's own, to do harm to."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from awa import embedded
from awa.database.open import connect
from awa.database.schema import chain
from tests.fixtures.processes import until_dead

END_ALL = """select pg_terminate_backend(pid) from pg_stat_activity
where application_name like 'awa %' and datname = current_database()"""


class OwnServer:
    """A server of the test's own, which it may stop."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.start()
        with connect(self.dsn, role="test") as connection:
            chain.migrate(connection)

    def start(self) -> None:
        """Start it, at the same address as before."""
        self.server = embedded.start(self.path, settings={"fsync": "off", "max_connections": "40"}, keep=True)
        self.dsn = self.server.dsn

    def stop(self) -> None:
        """Stop it, whoever is connected."""
        self.server.stop()
        embedded.stop(self.path)

    def crash(self) -> None:
        """End it in the middle of whatever it does, as `pg_ctl stop -m immediate`."""
        self.server.stop()
        os.kill(self.server.pid, signal.SIGQUIT)
        until_dead(self.server.pid)
