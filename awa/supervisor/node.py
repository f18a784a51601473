"""The state that the services of one node share."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from awa.database.timeout import RESPONSE_TIMEOUT_S
from awa.processes.board.scoreboard import Board
from awa.processes.clock import ServerClock
from awa.processes.silence import Silence
from awa.processes.wakeups import Wakes
from awa.settings import Settings
from awa.supervisor.occupants import Occupants
from awa.supervisor.outage import Outage
from awa.supervisor.peers import Peers

LATE: Final = 1.5
"""A heartbeat that is answered so many intervals after the last one is late."""


@dataclass
class Node:
    """This supervisor, as the database and its own threads know it."""

    settings: Settings
    dsn: str
    """Resolved: what libpq understands."""
    board: Board
    wakes: Wakes
    kinds: list[str]
    queues: list[str]
    id: int
    """Its row in awa.node; another one after it had been declared dead."""
    response_timeout_s: float = RESPONSE_TIMEOUT_S
    """Seconds that its services and workers wait for an answer of the server."""
    outage: Outage = field(default_factory=Outage)
    peers: Peers = field(default_factory=Peers)
    clock: ServerClock = field(default_factory=ServerClock)
    beat_at: float = field(default_factory=monotonic)
    """Time of the last answered heartbeat, monotonic seconds."""
    steady_since: float = field(default_factory=monotonic)
    """Since when no heartbeat has been late, monotonic seconds."""

    leads: bool = False
    """True if it was elected leader, as far as it knows."""
    is_draining: bool = False
    """True if its workers are to end: what they have not begun is given to others at once."""
    name: str = field(default_factory=socket.gethostname)
    """Its name in logs and for other nodes."""

    def __post_init__(self) -> None:
        self.occupants = Occupants(self.board, self.wakes.supervisor.ring)
        """The workers on the board."""
        self.main = Silence(2 * self.settings.heartbeat_interval_s)
        """Return the seconds without progress of the main thread."""

    def note_beat(self) -> None:
        """Note that a heartbeat has been answered."""
        now = monotonic()
        if self._is_late(now):
            self.steady_since = now
        self.beat_at = now

    def may_judge(self) -> bool:
        """Return True if our own heartbeats have been on time long enough to trust that another node's missing
        heartbeat means it is down."""
        now = monotonic()
        return now - self.steady_since >= self.settings.heartbeat_stale_s and not self._is_late(now)

    def _is_late(self, now: float) -> bool:
        return now - self.beat_at > LATE * self.settings.heartbeat_interval_s

    def look_back(self) -> None:
        """Have every worker read its lanes from the beginning: jobs came back in front of where it claims."""
        for slot in self.board.slots:
            slot.front += 1
