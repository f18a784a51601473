"""Heartbeat: one row updated per node and interval says that all its workers are looked after."""

from __future__ import annotations

import faulthandler
import os
from time import monotonic
from typing import Any, Final

import psycopg

from awa.engine import leader, nodes
from awa.processes.clock import monotonic_us
from awa.processes.exit_codes import ExitCode
from awa.supervisor.node import Node
from awa.supervisor.service import Service
from awa.telemetry import events

RESPONSE_TIMEOUT_S_MIN: Final = 1.0
MAIN_HUNG_S: Final = 30.0
"""So long the main thread may not get on, in seconds. What it waits for itself, it waits for a few seconds at most."""
RETRY_SHARE_MAX: Final = 0.45
"""Of an interval, no wait between two tries takes more than this part. A node that judges others after an outage has
had a beat late by half an interval, or else the outage was so short that with waits like this the beat of every other
node is back before it is missed: one interval since the last beat, one and a half of outage, less than half of
waiting."""


class Heartbeat(Service):
    """Beats; signs the node in again when it had been declared dead (a pause, a long outage)."""

    name = "heart"

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._told = (node.kinds, node.queues)
        self._has_said = False

    @property
    def response_timeout_s(self) -> float:
        """One interval: then there is another one left to beat over a new connection before this node is missed."""
        return min(self._node.response_timeout_s, max(RESPONSE_TIMEOUT_S_MIN, self._node.settings.heartbeat_interval_s))

    @property
    def longest_wait_s(self) -> float:
        """Short enough that no node takes an outage of the database for the death of this one."""
        return RETRY_SHARE_MAX * self._node.settings.heartbeat_interval_s

    def step(self, connection: psycopg.Connection[Any]) -> float:
        """Beat once, unless the main thread hangs: then the workers are unattended."""
        node = self._node
        if (hung_s := node.main.look()) > MAIN_HUNG_S:
            self._withhold(hung_s)
            return node.settings.heartbeat_interval_s
        asked, asked_us = monotonic(), monotonic_us()
        if (heard := nodes.heartbeat(connection, node.id)) is None:
            self._sign_in_again(connection)
        else:
            node.clock.learn(heard.clock_us, asked_us, monotonic_us())
            node.peers.note(heard.beats, asked, monotonic())
        node.note_beat()
        offer = (node.kinds, node.queues)
        if offer != self._told:
            nodes.update_node(connection, node.id, *offer)
            self._told = offer
        return node.settings.heartbeat_interval_s

    def closing(self, connection: psycopg.Connection[Any]) -> None:
        """Sign out."""
        leader.resign(connection, self._node.id)
        nodes.leave_node(connection, self._node.id)

    def _withhold(self, hung_s: float) -> None:
        """Let the others rescue our jobs; end when they have had the time to see that."""
        if not self._has_said:
            self._has_said = True
            reason = f"its main thread has hung for {hung_s:.0f} s: this node sends no heartbeat any more"
            events.emit(events.SUPERVISOR_GIVING_UP, reason=reason)
            faulthandler.dump_traceback(all_threads=True)
        if hung_s > MAIN_HUNG_S + self._node.settings.heartbeat_stale_s:
            os._exit(ExitCode.HUNG)  # the forkserver sees it, and ends the workers

    def _sign_in_again(self, connection: psycopg.Connection[Any]) -> None:
        """Take another id. The jobs of our workers were given to others, so the main loop replaces all of them."""
        node = self._node
        old, self._told = node.id, (node.kinds, node.queues)
        node.id = nodes.register_node(connection, node.name, *self._told)
        node.wakes.supervisor.ring()
        events.emit(events.SUPERVISOR_DECLARED_DEAD, node=old, now=node.id)
