"""Leader: one node at a time runs the duties that need doing once, not once a node."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any, Final

import psycopg
from psycopg.errors import LockNotAvailable

from awa.database.open import is_pooled
from awa.database.timeout import longer_timeout
from awa.engine import leader as engine_leader
from awa.supervisor.duties import Duty
from awa.supervisor.duties.retire import Retire
from awa.supervisor.node import Node
from awa.supervisor.service import Service
from awa.telemetry import events

TRUST_ELECTIONS: Final = 2
"""The leadership is trusted for this many election intervals without being confirmed."""
LEADERSHIP_INTERVAL_S: Final = 1.0
"""Interval at which the keeper checks whether this node leads."""


class Duties(Service):
    """Runs each duty when it is due; a thread and a connection for those that must not hold each other up."""

    def __init__(self, node: Node, duties: Sequence[Duty]) -> None:
        super().__init__(node)
        self._duties = duties
        self._due = dict.fromkeys((duty.name for duty in duties), 0.0)

    @property
    def patience_max(self) -> float:
        """As long as its longest duty may take."""
        return max((duty.timeout_factor for duty in self._duties), default=1.0)

    def run_due(self, connection: psycopg.Connection[Any]) -> float:
        """Do what is due; return when the next duty is."""
        for duty in self._duties:
            self._do(connection, duty)
        return min(self._due.values(), default=float("inf"))

    def _do(self, connection: psycopg.Connection[Any], duty: Duty) -> None:
        """Do a duty if it is due. One that fails must not keep the others from being done."""
        now = monotonic()
        if now < self._due[duty.name]:
            return
        self._due[duty.name] = now + duty.interval_s
        try:
            with longer_timeout(connection, duty.timeout_factor):
                duty.run_once(connection)
        except LockNotAvailable as error:
            self.held_up(duty.name, error)
        except Exception as error:  # a defect, a missing right, a time-out: said, and tried again when it is due
            if connection.closed:
                raise
            self.report_error(duty.name, error)
        else:
            self.clear_error(duty.name)


class Leader(Duties):
    """Stands for election; when elected, runs the duties, while `Keeper` runs those that take long."""

    name = "leader"

    def __init__(self, node: Node, duties: Sequence[Duty]) -> None:
        super().__init__(node, duties)
        self._elect_at = 0.0
        self._confirmed = -1
        """Count of confirmations of another node's leadership …"""
        self._unchanged_since = 0.0
        """… and since when we know of no more, monotonic seconds."""
        self.leads = False

    def step(self, connection: psycopg.Connection[Any]) -> float:
        """Stand for election when that is due, then do what is due."""
        now = monotonic()
        interval_s = self._node.settings.leader_interval_s
        if now >= self._elect_at:
            self._note(self._stand(connection, interval_s * TRUST_ELECTIONS))
            self._elect_at = now + interval_s
        next_at = min(self._elect_at, self.run_due(connection)) if self.leads else self._elect_at
        return max(0.0, next_at - monotonic())

    def _stand(self, connection: psycopg.Connection[Any], trust_s: float) -> int | None:
        """Stand for election; return the term, None when another node leads.

        Another node's leadership has lapsed when its confirmations have not been counted on for `trust_s` seconds of
        our own monotonic clock.
        """
        asked, pooled = monotonic(), is_pooled(connection)
        election = engine_leader.elect(connection, self._node.id, pooled=pooled)
        if election.term is None and election.confirmed != self._confirmed:
            self._confirmed, self._unchanged_since = election.confirmed, monotonic()
        elif election.term is None and asked - self._unchanged_since >= trust_s:
            election = engine_leader.elect(connection, self._node.id, self._confirmed, pooled=pooled)
        return election.term

    def _note(self, term: int | None) -> None:
        if (term is not None) != self.leads:
            self.leads = self._node.leads = term is not None
            event = events.LEAD_ELECTED if self.leads else events.LEAD_LOST
            events.emit(event, node=self._node.id, term=term)


class Keeper(Duties):
    """Looks after the log while `leader` leads: what takes long, and must not delay what is due now."""

    name = "keeper"

    def __init__(self, node: Node, leader: Leader) -> None:
        super().__init__(node, [Retire(node.settings, self._goes_on)])
        self._leader = leader

    def step(self, connection: psycopg.Connection[Any]) -> float:
        """Do what is due, if this node leads."""
        if not self._leader.leads:
            return LEADERSHIP_INTERVAL_S
        return min(LEADERSHIP_INTERVAL_S, max(0.0, self.run_due(connection) - monotonic()))

    def _goes_on(self) -> bool:
        return self._leader.leads and not self._stopping
