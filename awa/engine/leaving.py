"""Leaving: how one segment goes. Jobs that must live on are moved out in slices; then it is dropped, in an instant.

Each step is a transaction of its own and can be the last one that this process makes: the next leader goes on. Moved
jobs stay moved, and what changes in a leaving segment stays noted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import psycopg

from awa.database.statements import statement
from awa.engine.arrays import numbers
from awa.engine.seal import doubt
from awa.engine.short import run_short
from awa.telemetry import events

LOOK_JOBS: Final = 20_000
"""Jobs that one step of looking at a segment reads."""
SLICE_JOBS: Final = 200
"""Jobs moved in one transaction, whose rows are locked meanwhile …"""
MOVE_BYTES_MAX: Final = 4_000_000
"""… and bytes of their bodies."""
KEYS_MAX: Final = 2_000
"""Unique keys looked at in one step."""
TRIES: Final = 5
"""Times that the drop is tried, each behind moving what changed, before the segment is left to the next round."""
DROP_PAUSE_S: Final = 0.05
"""The pause behind the first try, doubled behind each: the sessions queued behind it have to get on."""

_LEAVE = statement("retire/leave")
_STRAY = statement("retire/stray")
_NOTED = statement("retire/noted")
_HOLD = statement("retire/hold")
_VERIFY = statement("retire/verify")
_LOST = statement("retire/lost")
_DROP = statement("retire/drop")
_POSTPONE = statement("retire/postpone")
_PRUNE_KEYS = statement("retire/prune_keys")


class Retention(NamedTuple):
    """Seconds that ended jobs are kept, unless their queue says otherwise."""

    completed_s: float = 24 * 3600.0
    """Completed and cancelled jobs."""
    failed_s: float = 72 * 3600.0
    dlq_s: float = 30 * 24 * 3600.0
    """Dead letters, counted from when they became that."""


class Segment(NamedTuple):
    """A segment that is old enough to be looked at."""

    id: int
    first_id: int
    end_id: int
    early: bool
    """Only queues with a short retention have jobs in it that may go: most of it will stay."""
    leaving: bool = False
    """An earlier round has begun to have its changes noted."""


class _Found(NamedTuple):
    """The contents of a segment."""

    jobs: int
    fresh: int
    """Jobs that ended so recently that they are kept, and so the segment with them."""
    survivors: list[int]
    """Jobs that must live on."""
    open: list[int]
    """Those among them that have not ended."""


def take_leave(
    connection: psycopg.Connection[Any], retention: Retention, segment: Segment, goes_on: Callable[[], bool]
) -> bool:
    """Drop a segment, or bring it nearer to that; return whether it is gone.

    Args:
        connection: outside a transaction.
        retention: how long ended jobs are kept.
        segment: which.
        goes_on: asked between steps; False ends this where it is.
    """
    if not segment.leaving:
        found = _look(connection, retention, segment, goes_on)
        if found is None or (found.fresh and (segment.early or not found.survivors)):
            return False
        if not _begin(connection, segment):
            return False
    _move_changed(connection, segment, goes_on)
    found = _look(connection, retention, segment, goes_on)
    if found is None or (found.fresh and segment.early):
        return False
    left = _move(connection, segment, found.survivors, goes_on)
    if found.fresh or len(left) > SLICE_JOBS or not goes_on():
        return False
    _let_go_of_keys(connection, retention, segment, goes_on)
    return _drop(connection, segment, found, left, goes_on)


def clear_out(connection: psycopg.Connection[Any], segment: Segment, goes_on: Callable[[], bool]) -> bool:
    """Move all jobs of a segment that is in the default partitions to held; return whether that is done."""
    connection.execute(_LEAVE, {"id": segment.id})
    above = segment.first_id - 1
    while goes_on():
        wanted = {"first_id": segment.first_id, "end_id": segment.end_id, "above": above, "jobs_max": LOOK_JOBS}
        ids = [row[0] for row in connection.execute(_STRAY, wanted)]
        if not ids:
            row = run_short(connection, _DROP, {"id": segment.id, "left_over": numbers([])})
            return row is not None and row[0] is not None
        _move(connection, segment, ids, goes_on)
        above = ids[-1]
    return False


def _look(
    connection: psycopg.Connection[Any], retention: Retention, segment: Segment, goes_on: Callable[[], bool]
) -> _Found | None:
    """Look at every job of a segment, slice by slice; None: it stays, or this is to end."""
    all_ = _Found(0, 0, [], [])
    for first_id in range(segment.first_id, segment.end_id, LOOK_JOBS):
        if not goes_on():
            return None
        wanted = {"first_id": first_id, "end_id": min(first_id + LOOK_JOBS, segment.end_id), **_kept(retention)}
        row = connection.execute(_VERIFY, wanted).fetchone()
        assert row is not None
        slice_ = _Found(*row)
        all_ = _Found(all_.jobs + slice_.jobs, all_.fresh + slice_.fresh, all_.survivors, all_.open)
        all_.survivors.extend(slice_.survivors)
        all_.open.extend(slice_.open)
        if all_.fresh and segment.early:
            return None
    if all_.open and (lost := _lost(connection, segment, all_.open)):
        events.emit(events.RETIRE_REFUSED, segment=segment.id, lost=lost, jobs=all_.jobs)
        doubt(connection)
        return None
    return all_


def _lost(connection: psycopg.Connection[Any], segment: Segment, ids: Sequence[int]) -> int:
    row = connection.execute(
        _LOST, {"first_id": segment.first_id, "end_id": segment.end_id, "ids": numbers(ids)}
    ).fetchone()
    return row[0] if row else 0


def _begin(connection: psycopg.Connection[Any], segment: Segment) -> bool:
    """Have changes noted; False: a session has been writing attempts of this segment for too long."""
    if run_short(connection, _LEAVE, {"id": segment.id}) is not None:
        return True
    connection.execute(_POSTPONE, {"id": segment.id})
    return False


def _move(
    connection: psycopg.Connection[Any], segment: Segment, ids: Sequence[int], goes_on: Callable[[], bool]
) -> list[int]:
    """Move jobs out of the segment in slices; return those that were locked by others, or not come to."""
    left: list[int] = []
    todo = list(reversed(ids))
    while todo and goes_on():
        ask = todo[-SLICE_JOBS:][::-1]
        wanted = {"id": segment.id, "ids": numbers(ask), "bytes": MOVE_BYTES_MAX}
        moved = {row[0] for row in connection.execute(_HOLD, wanted)}
        passed = ask if not moved else ask[: max(at for at, job in enumerate(ask) if job in moved) + 1]
        left += [job for job in passed if job not in moved]
        del todo[-len(passed) :]
    return left + todo[::-1]


def _move_changed(connection: psycopg.Connection[Any], segment: Segment, goes_on: Callable[[], bool]) -> None:
    """Move jobs that have changed since the segment began to leave."""
    for ids in _changed(connection, segment):
        _move(connection, segment, ids, goes_on)
        if not goes_on():
            return


def _changed(connection: psycopg.Connection[Any], segment: Segment) -> Iterator[list[int]]:
    above = 0
    while True:
        wanted = {"first_id": segment.first_id, "end_id": segment.end_id, "above": above, "jobs_max": LOOK_JOBS}
        ids = [row[0] for row in connection.execute(_NOTED, wanted)]
        if not ids:
            return
        yield ids
        above = ids[-1]


def _let_go_of_keys(
    connection: psycopg.Connection[Any], retention: Retention, segment: Segment, goes_on: Callable[[], bool]
) -> None:
    """Let go of unique keys of jobs that go with the segment."""
    above: int | None = segment.first_id - 1
    while above is not None and goes_on():
        wanted = {"above": above, "upto": segment.end_id, "jobs_max": KEYS_MAX, **_kept(retention)}
        row = connection.execute(_PRUNE_KEYS, wanted).fetchone()
        above = row and row[0]


def _drop(
    connection: psycopg.Connection[Any], segment: Segment, found: _Found, left: list[int], goes_on: Callable[[], bool]
) -> bool:
    for attempt in range(TRIES):
        if attempt:
            time.sleep(DROP_PAUSE_S * 2 ** (attempt - 1))
        if not goes_on():
            return False
        _move_changed(connection, segment, goes_on)
        row = run_short(connection, _DROP, {"id": segment.id, "left_over": numbers(left)})
        if row is not None and row[0] is not None:
            held = len(found.survivors) - len(left) + row[0]
            events.emit(events.RETIRE_SEGMENT, segment=segment.id, jobs=found.jobs, held=held)
            return True
    connection.execute(_POSTPONE, {"id": segment.id})
    return False


def _kept(retention: Retention) -> dict[str, float]:
    return {"completed_s": retention.completed_s, "failed_s": retention.failed_s}
