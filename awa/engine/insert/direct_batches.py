"""Direct batches: put the jobs of a bulk insert into ready batches in the transaction that inserts them.

A job that comes by itself is found by a seal, through an index of the log. Where many plain ones come at once, the
producer inserts them knows which they are, and there is no need to look for them: they spare themselves that index and
the seal. Plain is what is due and has no key, no line and no end: a seal has nothing to decide about it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import accumulate
from operator import attrgetter, itemgetter
from typing import Any, Final, NamedTuple

import psycopg

from awa.database.pipeline import execute_overlapped
from awa.database.statements import statement
from awa.engine.arrays import numbers, texts
from awa.engine.insert.single import Envelope, NewJob
from awa.engine.seal import BATCH_JOBS_MAX

JOBS_MIN: Final = 256
"""A bulk insert of fewer jobs leaves them to a seal, which puts those of several inserts into one batch."""
FILE_JOBS_MIN: Final = 2_000
"""Batches are batched as soon as they are full and hold so many jobs, and what is left at the end."""

_ENVELOPE = attrgetter("envelope")
_FIRST = itemgetter(0)
_LANES = statement("insert/lanes")
_FILE = statement("insert/file")


class Address(NamedTuple):
    """The route of a job, which determines its lane."""

    queue: str
    kind: str
    priority: int


class DirectBatcher:
    """Files the jobs of one bulk insert."""

    def __init__(self, *, is_allowed: bool) -> None:
        """`is_allowed`: whether this role may; else a seal will find the jobs."""
        self._is_allowed = is_allowed
        self._lanes: dict[Address, int] = {}
        """Of this transaction: a lane that it has made is gone if it is rolled back."""
        self._has_begun = False
        self._envelopes: dict[int, Envelope] = {}
        """Those of the chunk that `takes` has seen, by their addresses: the chunk holds them."""
        self._times: list[tuple[int, datetime]] = []
        """The first job of each chunk, and when all of that were inserted."""
        self._jobs: dict[int, list[int]] = {}
        """By lane, the jobs that are to be batched. A batch may have jobs of several chunks: there may be many
        lanes."""

    def takes(self, chunk: Sequence[NewJob]) -> bool:
        """Return whether to file these jobs: all of them plain, and many, or more of many."""
        if not self._is_allowed or (not self._has_begun and len(chunk) < JOBS_MIN):
            return False
        self._envelopes = {id(envelope): envelope for envelope in map(_ENVELOPE, chunk)}
        self._has_begun = all(map(_is_plain, self._envelopes.values()))
        return self._has_begun

    def add(
        self, connection: psycopg.Connection[Any], chunk: Sequence[NewJob], ids: Sequence[int], now: datetime
    ) -> None:
        """Note jobs that `takes` has seen, and that were inserted `now`. The connection must speak UTF-8."""
        self._times.append((ids[0], now))
        addresses = {at: _address(envelope) for at, envelope in self._envelopes.items()}
        self._know(connection, set(addresses.values()) - self._lanes.keys())
        lanes = {at: self._lanes[address] for at, address in addresses.items()}
        if len(set(lanes.values())) == 1:
            self._jobs.setdefault(next(iter(lanes.values())), []).extend(ids)
            return
        for envelope, job_id in zip(map(_ENVELOPE, chunk), ids, strict=True):
            self._jobs.setdefault(lanes[id(envelope)], []).append(job_id)

    def batch_full(self, connection: psycopg.Connection[Any], meanwhile: Callable[[], None]) -> None:
        """Put the jobs that fill batches into these, if they are many; do something else `meanwhile`."""
        full = {lane: len(jobs) // BATCH_JOBS_MAX * BATCH_JOBS_MAX for lane, jobs in self._jobs.items()}
        if sum(full.values()) >= FILE_JOBS_MIN:
            jobs = {lane: self._jobs[lane][:end] for lane, end in full.items() if end}
            self._jobs = {lane: jobs[full[lane] :] for lane, jobs in self._jobs.items()}
            self._file(connection, jobs, meanwhile)

    def batch_rest(self, connection: psycopg.Connection[Any]) -> None:
        """Put all that are left into batches, and forget what a rollback to a savepoint could make untrue."""
        jobs = {lane: jobs for lane, jobs in self._jobs.items() if jobs}
        if jobs:
            self._jobs = {}
            self._file(connection, jobs, lambda: None)
        self._lanes.clear()

    def _file(
        self, connection: psycopg.Connection[Any], jobs: dict[int, list[int]], meanwhile: Callable[[], None]
    ) -> None:
        """Put jobs, by lane, into ready batches; do something else `meanwhile`."""
        starts = [(ids[at], lane, at) for lane, ids in jobs.items() for at in range(0, len(ids), BATCH_JOBS_MAX)]
        batches = [(lane, jobs[lane][at : at + BATCH_JOBS_MAX]) for _, lane, at in sorted(starts)]
        ids = [job for _, batch in batches for job in batch]
        # Ids of one lane only grow. Mostly none has been taken in between, and there is no need to list them.
        is_row = len(jobs) == 1 and ids[-1] - ids[0] == len(ids) - 1
        parts = {
            "first": ids[0],
            "last": ids[-1],
            "ids": None if is_row else numbers(ids),
            "lanes": numbers(lane for lane, _ in batches),
            "times": texts(self._time(batch[0]) for _, batch in batches),
            "ends": numbers(accumulate(len(batch) for _, batch in batches)),
        }
        row = execute_overlapped(connection, _FILE, parts, meanwhile).fetchone()
        if row is None or row[0] != len(ids):
            raise AssertionError(f"{len(ids)} jobs were to be batched, and so many were: {row}")

    def _time(self, job: int) -> str:
        """Return when a job was inserted."""
        chunk = bisect_right(self._times, job, key=_FIRST) - 1
        return self._times[chunk][1].isoformat()

    def _know(self, connection: psycopg.Connection[Any], unknown: set[Address]) -> None:
        """Find the lanes of some addresses, or make them."""
        if unknown:
            asked = list(unknown)
            wanted = {
                "queues": texts(address.queue for address in asked),
                "kinds": texts(address.kind for address in asked),
                "priorities": numbers(address.priority for address in asked),
            }
            for at, lane in connection.execute(_LANES, wanted):
                self._lanes[asked[at - 1]] = lane


def _address(envelope: Envelope) -> Address:
    return Address(envelope.queue, envelope.kind, envelope.priority)


def _is_plain(envelope: Envelope) -> bool:
    return (
        envelope.run_at is None
        and envelope.delay_s is None
        and envelope.expires_at is None
        and envelope.ordering_key is None
    )
