"""Vitals: sees that the threads of the services live and get on.

A service waits for the server for a limited time, and beats while it does. One that does not beat for far longer hangs
where no limit reaches: in the resolver, in a library, in a deadlock of Awa's own. A thread cannot be replaced, so the
node gives itself up: it would keep its heartbeat and not do its work.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Final

from awa.supervisor.service import Service

VITALS_INTERVAL_S: Final = 1.0
SERVICE_HUNG_S: Final = 120.0
"""So long a service may say nothing, on top of what it has said it would sleep: names are resolved without a limit of
Awa's, and several servers may be tried in turn."""


class Vitals:
    """Called from the main thread, again and again; never waits."""

    def __init__(self, services: Sequence[Service], hung_s: float | None = None) -> None:
        """`hung_s`: None: `SERVICE_HUNG_S`."""
        self._services = services
        self._hung_s = SERVICE_HUNG_S if hung_s is None else hung_s
        self._look_at = monotonic()

    def look(self) -> str | None:
        """Return what is wrong with the first service that has died or hangs; None when all are well."""
        if monotonic() < self._look_at:
            return None
        self._look_at = monotonic() + VITALS_INTERVAL_S
        return next((problem for service in self._services if (problem := self._problem(service))), None)

    def _problem(self, service: Service) -> str | None:
        silent_s = service.silence.look()
        if service.has_died():
            return f"its thread {service.name} has ended, see the traceback above"
        if silent_s > self._hung_s + service.sleeps_s:
            return f"its thread {service.name} has hung for {silent_s:.0f} s"
        return None
