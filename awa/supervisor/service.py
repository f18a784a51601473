"""A service: a thread with one connection that does one thing again and again, and outlives database trouble."""

from __future__ import annotations

import random
import threading
import traceback
from typing import Any, Final

import psycopg

from awa import telemetry
from awa.database.connections import connect
from awa.errors import DatabaseError
from awa.processes.wakes import Channel

RETRY_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Service:
    """Subclasses give `step`, one round; the thread, the connection and the retries are here."""

    name: str

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._bell = Channel.create()
        self._stopping = False
        self._tries = 0
        self._thread = threading.Thread(target=self._run, name=f"awa-{self.name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def ring(self) -> None:
        """Make the next round begin now. From any thread."""
        self._bell.ring()

    def stop(self, timeout_s: float = 5.0) -> None:
        """End after the present round, and wait for that."""
        self._stopping = True
        self._bell.ring()
        self._thread.join(timeout_s)

    def opened(self, connection: psycopg.Connection[Any]) -> None:
        """Prepare a new connection."""

    def step(self, connection: psycopg.Connection[Any]) -> float:
        """Do one round; return after how many seconds the next one is due, at the latest."""
        raise TypeError(f"{type(self).__name__} has no step")

    def closing(self, connection: psycopg.Connection[Any]) -> None:
        """Say goodbye, after the last round."""

    def pause(self, connection: psycopg.Connection[Any], wait_s: float) -> None:
        """Wait for the next round."""
        self._bell.wait(wait_s)

    def _run(self) -> None:
        while self._goes_on():
            try:
                with connect(self._dsn, role=self.name) as connection:
                    self.opened(connection)
                    while self._goes_on():
                        wait_s = self.step(connection)
                        self._tries = 0
                        self.pause(connection, wait_s)
                    self.closing(connection)
            except (psycopg.OperationalError, DatabaseError) as error:
                if self._tries == 0:  # said once, not at every try
                    telemetry.emit(telemetry.DATABASE_LOST, who=self.name, error=" ".join(str(error).split()))
                self._back_off()
            except Exception:  # noqa: BLE001 - a defect of ours must not end the service without a word
                telemetry.emit(telemetry.SUPERVISOR_SERVICE_FAILED, service=self.name, traceback=traceback.format_exc())
                self._back_off()

    def _goes_on(self) -> bool:
        return not self._stopping

    def _back_off(self) -> None:
        """Wait before the next try, with jitter, so that a fleet does not come back in step."""
        wait_s = RETRY_S[min(self._tries, len(RETRY_S) - 1)] * (1 + random.random() / 2)
        self._tries += 1
        if self._goes_on():
            self._bell.wait(wait_s)
