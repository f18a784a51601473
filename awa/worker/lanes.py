"""Which lanes a worker claims from, and where in each its last claim ended."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any, Final

import psycopg

from awa.engine import claim
from awa.engine.claim import FROM_THE_START, Lane, Lease, Want
from awa.worker.pace import LEASE_JOBS_MAX, Pace

LOOK_BACK_S: Final = 1.0
"""How often a lane is read from its very beginning, for jobs that came back or were committed late."""


class Lanes:
    """The lanes of some kinds and queues, as far as they are known."""

    def __init__(self, kinds: Sequence[str], queues: Sequence[str] | None) -> None:
        self._kinds = kinds
        self._queues = queues
        self._starts: dict[int, str] = {}
        self._looked_back = float("-inf")
        self._refreshed = float("-inf")
        self._known: dict[int, Lane] = {}

    def refresh(self, connection: psycopg.Connection[Any]) -> bool:
        """Read the lanes anew: a seal may have met a queue, kind or priority for the first time. Whether one had."""
        before = self._known.keys()
        self._known = {lane.id: lane for lane in claim.lanes(connection, self._kinds, self._queues)}
        self._refreshed = monotonic()
        return self._known.keys() != before

    @property
    def are_stale(self) -> bool:
        """Whether it is time to read the lanes anew."""
        return monotonic() - self._refreshed >= LOOK_BACK_S

    def wants(self, pace: Pace, jobs_max: int = LEASE_JOBS_MAX) -> list[Want]:
        """Return what to claim at most `jobs_max` jobs with. About once a second, and after `look_back`, from the very
        beginning."""
        now = monotonic()
        if now - self._looked_back >= LOOK_BACK_S:
            self._looked_back = now
            self._starts.clear()
        return [
            Want(lane.id, self._starts.get(lane.id, FROM_THE_START), pace.cost_us(lane.kind, jobs_max))
            for lane in self._known.values()
        ]

    def look_back(self) -> None:
        """Read every lane from its very beginning at the next claim."""
        self._looked_back = float("-inf")

    @property
    def are_skipping(self) -> bool:
        """Whether the next claim would start somewhere in the middle: then an empty answer does not say "nothing"."""
        return bool(self._starts)

    def note(self, leases: Sequence[Lease]) -> None:
        """Remember where a claim ended."""
        for lease in leases:
            self._starts[lease.lane] = lease.order_key

    def of(self, lease: Lease) -> Lane:
        """Return the lane of a lease."""
        return self._known[lease.lane]

    @property
    def ids(self) -> list[int]:
        """The ids of all known lanes."""
        return list(self._known)
