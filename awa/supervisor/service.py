"""A service: a thread with one connection that does one thing again and again, and outlives database trouble."""

from __future__ import annotations

import random
import threading
import traceback
from typing import Any, Final

import psycopg
from psycopg.errors import LockNotAvailable

from awa.database.errors import TROUBLE
from awa.database.open import connect, is_pooled
from awa.database.timeout import BoundedConnection, NoAnswer
from awa.processes.silence import Silence
from awa.processes.wakeups import Channel
from awa.supervisor.node import Node
from awa.telemetry import events

SERVICE_RETRIES_S: Final = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Waits between tries, each with up to half of it more. A connection that only broke is replaced at once."""
LOCK_TIMEOUT: Final = "set lock_timeout = '2s'"
"""A transaction that is left open must not stop a service for good."""
LOCK_RETRY_S: Final = 0.5
PROGRESS_INTERVAL_S: Final = 1.0
"""Interval at which the main thread checks a service for progress."""


def retry_s(tries: int, longest_s: float, uniform: float) -> float:
    """Return how long to wait after `tries` vain tries, in seconds, at most `longest_s`.

    With jitter from `uniform` (0 to 1), so that a fleet does not come back in step.
    """
    wait_s = min(SERVICE_RETRIES_S[min(tries, len(SERVICE_RETRIES_S) - 1)], longest_s / 1.5)
    return wait_s * (1 + uniform / 2)


class Service:
    """Subclasses give `step`, one round; the thread, the connection and the retries are here."""

    name: str
    plan_once: bool = False
    """As `connect` takes it."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._bell = Channel.create()
        self._stopping = False
        self._tries = 0
        self._complaints: dict[str, type[Exception]] = {}
        self.silence = Silence(PROGRESS_INTERVAL_S)
        """Return the seconds without progress."""
        self.sleeps_s = 0.0
        """For how long it has said that it would do nothing, in seconds."""
        self._thread = threading.Thread(target=self._run, name=f"awa-{self.name}", daemon=True)

    @property
    def response_timeout_s(self) -> float:
        """Return the seconds to wait for an answer of the server."""
        return self._node.response_timeout_s

    @property
    def patience_max(self) -> float:
        """Factor by which some of its statements may exceed that."""
        return 1.0

    @property
    def longest_wait_s(self) -> float:
        """The longest wait between two tries, in seconds."""
        return SERVICE_RETRIES_S[-1] * 1.5

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def has_died(self) -> bool:
        """Return whether its thread has ended, without having been told to."""
        return not self._stopping and not self._thread.is_alive()

    def ring(self) -> None:
        """Make the next round begin now. From any thread."""
        self._bell.ring()

    def end(self) -> None:
        """End after the present round."""
        self._stopping = True
        self._bell.ring()

    def join(self, timeout_s: float) -> None:
        """Wait for the end, for at most `timeout_s` seconds."""
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

    def report_error(self, part: str, error: Exception) -> None:
        """Say that `part` of this service failed; not again as long as it fails in the same way.

        What the database may do at any time is said in a line, anything else with its traceback.
        """
        if self._complaints.get(part) is not type(error):
            self._complaints[part] = type(error)
            if isinstance(error, TROUBLE):
                events.emit(events.SUPERVISOR_SERVICE_FAILED, service=part, error=" ".join(str(error).split()))
            else:
                text = "".join(traceback.format_exception(error))
                events.emit(events.SUPERVISOR_SERVICE_FAILED, service=part, traceback=text)

    def held_up(self, part: str, error: LockNotAvailable) -> None:
        """Say that `part` waits for a lock; not again until it had come through."""
        if self._complaints.get(part) is not type(error):
            self._complaints[part] = type(error)
            text = " ".join(str(error).split())
            events.emit(
                events.SUPERVISOR_WARNING,
                warning=f"{part} waits for a transaction that is kept open ({text}); it is tried again",
            )

    def clear_error(self, part: str) -> None:
        """Note that `part` works: its next failure is said again."""
        self._complaints.pop(part, None)

    def _run(self) -> None:
        while not self._stopping:
            try:
                self._serve()
            except TROUBLE as error:
                if self._tries or isinstance(error, NoAnswer):  # a connection that only broke is back at once
                    self._node.outage.hits(self.name, error)
                self._back_off()
            except Exception as error:  # noqa: BLE001 - a defect in Awa must not end the service without a word
                self.report_error(self.name, error)
                self._back_off()

    def _serve(self) -> None:
        """Work over one connection until it breaks or the service ends."""
        with connect(
            self._node.dsn,
            role=self.name,
            response_timeout_s=self.response_timeout_s,
            patience_max=self.patience_max,
            plan_once=self.plan_once,
        ) as connection:
            if not is_pooled(connection):  # there it would be set for others
                connection.execute(LOCK_TIMEOUT)
            if isinstance(connection, BoundedConnection):
                connection.beat = self.silence.beat
            self.opened(connection)
            while not self._stopping:
                wait_s = self._round(connection)
                self._tries = 0
                self._node.outage.is_over(self.name)
                self._beat(wait_s)
                self.pause(connection, wait_s)
                self._beat()
            self.closing(connection)

    def _round(self, connection: psycopg.Connection[Any]) -> float:
        """Do one round; when a lock that it needs is held, report that and try again soon."""
        try:
            wait_s = self.step(connection)
        except LockNotAvailable as error:
            self.held_up(self.name, error)
            return LOCK_RETRY_S
        self.clear_error(self.name)
        return wait_s

    def _back_off(self) -> None:
        """Wait before the next try."""
        wait_s = retry_s(self._tries, self.longest_wait_s, random.random())
        self._tries += 1
        self._beat(wait_s)
        if not self._stopping:
            self._bell.wait(wait_s)
        self._beat()

    def _beat(self, sleeps_s: float = 0.0) -> None:
        """Show that it gets on, and that it is about to sleep for so long, in seconds."""
        self.sleeps_s = sleeps_s
        self.silence.beat()
