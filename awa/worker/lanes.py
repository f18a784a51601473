"""The lanes that a worker claims from, and where in each its last claim ended.

With many lanes, most claims look only at those that had jobs when all were last looked at (`LaneLookahead`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any, Final

import psycopg

from awa.engine import claim
from awa.engine.claim import FROM_THE_START, Claimed, Lane, LaneRequest, Lease
from awa.worker.lease_size import LEASE_JOBS_MAX, LeaseSizer

LOOK_BACK_S: Final = 1.0
"""Interval at which a lane is read from its start, for jobs that came back or were committed late …"""
LOOK_BACK_RATIO: Final = 30.0
"""… or after so many times what that took the last time, if that is longer: a pinned vacuum horizon keeps all batches
there that there ever were. A worker that has found nothing looks as soon as this allows …"""
LOOK_BACK_SHORT_S: Final = 0.005
"""… or at once, where it took no longer than this …"""
LOOK_BACK_LONG_S: Final = 5.0
"""… but at least this often."""

LANES_MANY: Final = 64
"""With no more lanes than this, every claim looks at all of them."""
BATCHES: Final = 512
"""So many batches are looked ahead …"""
WINDOW: Final = 96
"""… and so many of them are looked at by one claim: more than it takes, since others claim here too."""
GOOD_FOR_S: Final = 0.2
"""So late a job may be seen that should have come before others: no later than one a busy worker has not sealed."""


class Lanes:
    """The lanes of some kinds and queues, as far as they are known."""

    def __init__(self, kinds: Sequence[str], queues: Sequence[str] | None, *, exhaustive: bool = False) -> None:
        """`exhaustive`: no other worker comes again for what is overlooked, so look back whenever nothing is found."""
        self._exhaustive = exhaustive
        self._kinds = kinds
        self._queues = queues
        self._starts: dict[int, str] = {}
        self._look_back_at = float("-inf")
        self._may_look_back_at = float("-inf")
        self._is_looking_back = False
        self._refreshed = float("-inf")
        self._known: dict[int, Lane] = {}
        self._ahead = LaneLookahead()
        self.ahead = 0
        """Of how many batches the next claim is to tell the lanes."""

    def refresh(self, connection: psycopg.Connection[Any]) -> bool:
        """Read the lanes again: a seal may have met a queue, kind or priority for the first time. Whether one had."""
        before = self._known.keys()
        self._known = {lane.id: lane for lane in claim.lanes(connection, self._kinds, self._queues)}
        self._refreshed = monotonic()
        return self._known.keys() != before

    @property
    def are_stale(self) -> bool:
        """Return whether it is time to read the lanes again."""
        return monotonic() - self._refreshed >= LOOK_BACK_S

    def requests(self, sizer: LeaseSizer, jobs_max: int = LEASE_JOBS_MAX) -> list[LaneRequest]:
        """Return what to claim at most `jobs_max` jobs with. About once a second, and after `look_back`, from the very
        beginning."""
        now = monotonic()
        self._is_looking_back = self.is_to_look_back
        if self._is_looking_back:
            self._look_back_at = now + LOOK_BACK_S
            self._starts.clear()
            self._ahead.forget()
        window = self._ahead.window()
        self.ahead = BATCHES if not window and len(self._known) > LANES_MANY else 0
        return [
            LaneRequest(lane.id, self._starts.get(lane.id, FROM_THE_START), sizer.cost_us(lane.kind, jobs_max))
            for lane in (map(self._known.__getitem__, window) if window else self._known.values())
        ]

    def look_back(self) -> None:
        """Read every lane from its very beginning at the next claim."""
        self._look_back_at = float("-inf")
        self._ahead.forget()

    @property
    def is_to_look_back(self) -> bool:
        """Return whether the next claim is to read every lane from its very beginning."""
        return monotonic() >= self._look_back_at

    @property
    def may_look_back(self) -> bool:
        """Return whether it is not too soon for that."""
        return self._exhaustive or monotonic() >= self._may_look_back_at

    def note_took(self, seconds: float) -> None:
        """Note how long a claim took for which `requests` said what to claim, and which did nothing else."""
        if self._is_looking_back:
            wait_s = min(LOOK_BACK_LONG_S, LOOK_BACK_RATIO * seconds) if seconds > LOOK_BACK_SHORT_S else 0.0
            self._may_look_back_at = monotonic() + wait_s
            self._look_back_at = monotonic() + max(LOOK_BACK_S, wait_s)

    def begin_at(self, fronts: Mapping[int, str]) -> None:
        """Read these lanes from here on: before it there is nothing, and nothing was behind where the last claim ended.
        Lanes that are read from their very beginning are read so."""
        self._starts.update({lane: front for lane, front in fronts.items() if lane in self._starts})

    @property
    def are_skipping(self) -> bool:
        """Return whether the last claim began somewhere in the middle: then an empty answer does not say "nothing".

        One that left lanes out did: it claimed from others before.
        """
        return bool(self._starts)

    def note(self, claimed: Claimed) -> None:
        """Remember where a claim ended."""
        self._starts.update(claimed.passed)
        for lease in claimed.leases:
            self._starts[lease.lane] = lease.sort_at
        if claimed.ahead:
            self._ahead.learn(claimed.ahead)
        self._ahead.move_on([lease.lane for lease in claimed.leases])

    def of(self, lease: Lease) -> Lane:
        """Return the lane of a lease."""
        return self._known[lease.lane]

    @property
    def ids(self) -> list[int]:
        """The ids of all known lanes."""
        return list(self._known)


class LaneLookahead:
    """The lanes of the next batches, in order, as far as they are known."""

    def __init__(self) -> None:
        self._lanes: list[int] = []
        self._until = 0.0

    def learn(self, lanes: Sequence[int]) -> None:
        """Note which lanes have the next batches: one entry a batch."""
        self._lanes = list(lanes)
        self._until = monotonic() + GOOD_FOR_S

    def forget(self) -> None:
        """Look at all lanes at the next claim."""
        self._lanes = []

    def window(self) -> list[int]:
        """Return the lanes the next claim is to look at; none: at all of them."""
        if len(self._lanes) < WINDOW or monotonic() >= self._until:
            self.forget()
        return list(dict.fromkeys(self._lanes[:WINDOW]))

    def move_on(self, claimed: Sequence[int]) -> None:
        """Note the lanes of the batches that were claimed, in order: what stood before the last one is gone, too."""
        if not self._lanes:
            return
        try:
            last = self._lanes.index(claimed[-1], len(claimed) - 1) if claimed else len(self._lanes)
        except ValueError:  # it was not expected: what is known is of no use
            last = len(self._lanes)
        del self._lanes[: last + 1]
