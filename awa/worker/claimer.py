"""Gets the next jobs to run: seals when it is time to, settles the last lease, claims another."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from time import monotonic
from typing import Any, Final

import psycopg

from awa.database import lock_holders
from awa.database.errors import is_refusal
from awa.database.pipeline import pipeline
from awa.engine import claim, seal, settle
from awa.engine.claim import Claimed, LaneRequest
from awa.engine.seal import Sealed
from awa.processes.board.slot import Slot
from awa.processes.clock import ServerClock, monotonic_us
from awa.telemetry import events
from awa.worker.lanes import Lanes
from awa.worker.lease_size import LEASE_JOBS_MAX, LeaseSizer
from awa.worker.pending import Pending

SEAL_EVERY_US: Final = 200_000
"""Busy workers seal at least this often, even when claims come back full: an urgent job may be among the unsealed. One
does it for all of its node, unless that left more to seal."""
DOUBT_S: Final = 300.0
"""After a connection broke, a claim sent over it may still come to the server's ears. So look out for leases we know
nothing of, and hand them back: for as long as this at every claim …"""
LATE_DOUBT_S: Final = 60.0
"""… and from then on this often, since whatever hung may let go of it at any time."""


class NodeDeclaredDead(Exception):
    """This worker has been declared dead; its jobs were given to others."""


LOCKED_S: Final = 2.0
"""A worker that has seen nothing but locked batches for so long says so …"""
LOCKED_AGAIN_S: Final = 60.0
"""… and again after so long, as long as that goes on."""


class Claimer:
    """Claims for one worker."""

    def __init__(self, slot: Slot, lanes: Lanes, sizer: LeaseSizer, pending: Pending, clock: ServerClock) -> None:
        self._slot = slot
        self._clock = clock
        self._lanes = lanes
        self._sizer = sizer
        self._pending = pending
        self._jobs_max = LEASE_JOBS_MAX
        self._floor = 0
        self._sealed_us = 0
        self._is_more_unsealed = False
        self._is_busy = False
        self._doubtful_until = 0.0
        self._look_at = inf
        self._front = slot.front
        self._has_ordered = False
        self._say_locked_at: float | None = None

    def next(self, connection: psycopg.Connection[Any], jobs_max: int = LEASE_JOBS_MAX) -> Claimed | None:
        """Settle what is pending and claim as much as `LeaseSizer` says, at most `jobs_max` jobs; None without any.

        Raises `NodeDeclaredDead`.
        """
        self._jobs_max = jobs_max
        claimed = self._next(connection)
        if not claimed.registered:
            raise NodeDeclaredDead
        self._is_busy = bool(claimed.leases)
        self._note_locked(connection, claimed)
        self._sizer.note_claim(claimed, self._job_us(claimed))
        if not claimed.leases:
            return None
        self._lanes.note(claimed)
        self._pending.since = claimed.since
        return claimed

    def _note_locked(self, connection: psycopg.Connection[Any], claimed: Claimed) -> None:
        """Say who may have locked them when this worker has seen nothing but locked batches for some seconds."""
        now = monotonic()
        if claimed.leases or not claimed.seen:
            self._say_locked_at = None
        elif self._say_locked_at is None:
            self._say_locked_at = now + LOCKED_S
        elif now >= self._say_locked_at:
            self._say_locked_at = now + LOCKED_AGAIN_S
            held_by = lock_holders.named(lock_holders.holders(connection, "awa.batch"))
            events.emit(events.CLAIM_LOCKED, batches=len(claimed.seen), held_by=held_by)

    def _job_us(self, claimed: Claimed) -> float:
        """Return how long a job of these is expected to take, in microseconds."""
        total_us = sum(len(lease.ids) * self._sizer.expected_us(self._lanes.of(lease).kind) for lease in claimed.leases)
        return total_us / max(1, claimed.jobs)

    def note_ordered(self) -> None:
        """Note that a job with an ordering key has been run, or put aside: the next of its line waits for a seal."""
        self._has_ordered = True

    def doubt(self) -> None:
        """Note that a connection broke: what the server did with our last words is unknown, and it may have gone back
        to an earlier state, in which ids are given out once more."""
        self._floor = 0
        self._lanes.look_back()
        self._doubtful_until = monotonic() + DOUBT_S
        self._look_at = 0.0

    def _next(self, connection: psycopg.Connection[Any]) -> Claimed:
        """Claim, sealing first when it is time to, and once more when the claim comes back short."""
        self._heed_front()
        self._hand_back_unknown(connection)
        if self._has_ordered:
            self._has_ordered = False
            self._pending.settle(connection)
            self._seal(connection)
        # Not after a rest: the process that woke this worker has just sealed.
        if self._is_busy and monotonic_us() - max(self._sealed_us, self._slot.last_seal_us()) > SEAL_EVERY_US:
            self._seal(connection)
        if self._lanes.are_stale:
            self._lanes.refresh(connection)
        if self._lanes.is_to_look_back:
            self._pending.settle(connection)  # so that it is known what the claim takes
        claimed = self._settle_and_claim(connection)
        while not claimed.leases and self._is_more(connection, claimed):
            claimed = self._claim(connection)
            if not self._is_more_unsealed:  # else what was sealed may all have been others'
                break
        return claimed

    def _is_more(self, connection: psycopg.Connection[Any], empty: Claimed) -> bool:
        """Return whether a claim that found nothing might find something after all: jobs unsealed, passed over, or
        locked by others, or lanes that were first met by another session's seal. Says where to look."""
        sealed = self._seal(connection)
        while sealed.more and not sealed.jobs:  # it finished what an earlier step had begun: go on behind that
            sealed = self._seal(connection)
        if sealed.headed or (not sealed.fronts and self._lanes.may_look_back):
            self._lanes.look_back()
        elif not empty.seen:
            self._lanes.begin_at(sealed.fronts)
        return self._lanes.refresh(connection) or sealed.jobs > 0 or self._lanes.are_skipping or bool(empty.seen)

    def _settle_and_claim(self, connection: psycopg.Connection[Any]) -> Claimed:
        """Settle the last lease and claim the next one in one round trip."""
        outstanding = self._pending.outstanding()
        if not outstanding:
            return self._claim(connection)
        requests = self._lanes.requests(self._sizer, self._jobs_max)
        worker = self._pending.worker
        asked_us = monotonic_us()
        try:
            with pipeline(connection) as pipe:
                settled = settle.send_settle(pipe, worker, outstanding, since=self._pending.since)
                answer = claim.send_claim(pipe, worker, requests, **self._limits(requests))
        except Exception as error:
            if not is_refusal(error):
                raise
            self._pending.settle(connection)  # finds the outcome that is refused, and settles the others
            return self._claim(connection)
        claimed = self._learn(claim.read_claim(answer), asked_us)
        accepted = settle.read_settle(settled)
        settle.note_costs(connection, worker, outstanding, accepted)
        self._pending.settled(outstanding, accepted)
        if claimed.seen and not claimed.leases:
            return claim.claim_past(connection, worker, requests, claimed, **self._limits(requests))
        return claimed

    def _claim(self, connection: psycopg.Connection[Any]) -> Claimed:
        requests = self._lanes.requests(self._sizer, self._jobs_max)
        asked_us = monotonic_us()
        claimed = self._learn(
            claim.claim(connection, self._pending.worker, requests, **self._limits(requests)), asked_us
        )
        self._lanes.note_took((monotonic_us() - asked_us) / 1e6)
        return claimed

    def _learn(self, claimed: Claimed, asked_us: int) -> Claimed:
        """Note what the server's clock shows."""
        self._clock.learn(claimed.clock_us, asked_us, monotonic_us())
        return claimed

    def _limits(self, requests: Sequence[LaneRequest]) -> dict[str, Any]:
        budget_us = self._sizer.lease_us
        cheapest = min((want.cost_us for want in requests), default=budget_us)
        return {
            "budget_us": budget_us,
            "batches_max": self._sizer.batches_max(cheapest),
            "ahead": self._lanes.ahead,
        }

    def _seal(self, connection: psycopg.Connection[Any]) -> Sealed:
        """Seal one step."""
        self._sealed_us = monotonic_us()
        sealed = seal.seal(connection, self._floor)
        self._floor = sealed.floor
        self._is_more_unsealed = sealed.more
        if not sealed.more:
            self._slot.note_seal(self._sealed_us)
        return sealed

    def _heed_front(self) -> None:
        if self._slot.front != self._front:
            self._front = self._slot.front
            self._lanes.look_back()

    def _hand_back_unknown(self, connection: psycopg.Connection[Any]) -> None:
        """While in doubt: hand back leases that came to us without our knowing."""
        now = monotonic()
        if now >= self._look_at:
            self._look_at = 0.0 if now < self._doubtful_until else now + LATE_DOUBT_S
            known = [job.job_id for job in self._pending.outstanding()]
            settle.release(connection, self._pending.worker, known)
