"""Seal: route newly committed jobs, due ones into batches, future ones to deferred."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec
import psycopg

from awa.database.pipeline import pipeline
from awa.database.statements import statement
from awa.telemetry import events

SEAL_JOBS_MAX: Final = 20_000
"""Jobs one seal step reads and routes: about 100 ms of a server's work."""
RESEAL_ROWS_MAX: Final = 50_000
"""Jobs that one step of resealing looks at, to find those that are nowhere."""
LINES_MAX: Final = 10_000
"""Lines in which one step looks for a new head."""
BATCH_JOBS_MAX: Final = 128
"""Jobs in a batch: 1 KiB of ids. Twice as many bought 3 % and made splits dearer."""

_LOCK = statement("seal/lock")
_SEAL = statement("seal/seal")
_RESTORED = statement("seal/restored")
_RESEAL_OPEN = statement("seal/reseal_open")
_RESEAL = statement("seal/reseal")
_AWAIT = statement("seal/await")
_LIMIT: Final = b"select set_config('lock_timeout', %(ms)s, true)"
_BEHIND = statement("seal/behind")
_DOUBT = statement("seal/doubt")
_RAISE_IDS = statement("seal/raise_ids")
_MAY_SEAL = statement("seal/may_seal")
_REPLACED = statement("seal/replaced")
_ADVANCE = statement("seal/advance")


class Sealed(NamedTuple):
    """The result of one step of sealing."""

    jobs: int
    """Jobs routed by this step, those brought to the head of their line included."""
    batches: int
    more: bool
    """The step was full, or finished what an earlier one had begun: there may be more jobs, seal again."""
    locked: bool
    """True if this was the sealer; False: another session is sealing at this moment."""
    floor: int
    """No job below this id can still be unsealed; give it to the next call."""
    claimable: Mapping[int, int] = MappingProxyType({})
    """Number of jobs that this step made claimable, by lane, without paused queues."""
    fronts: Mapping[int, str] = MappingProxyType({})
    """The first order key of these, by lane, as the server wrote it."""
    headed: int = 0
    """Number of jobs that became the head of their line."""


def seal(
    connection: psycopg.Connection[Any],
    floor: int = 0,
    *,
    jobs_max: int = SEAL_JOBS_MAX,
    batch_max: int = BATCH_JOBS_MAX,
    force: bool = False,
) -> Sealed:
    """Seal at most `jobs_max` jobs. `force` moves the cursor on even when there are none.

    Must not run in a transaction that has inserted jobs. A ledger of another cluster (a restored dump) is begun again,
    and its jobs are sealed beside new ones, at most `jobs_max` a call.
    """
    with pipeline(connection) as pipe:
        pipe.execute(_LOCK, prepare=True)
        answer = pipe.execute(
            _SEAL, {"floor": floor, "jobs_max": jobs_max, "batch_max": batch_max, "force": force}, prepare=True
        )
    row = answer.fetchone()
    assert row is not None
    locked, foreign_cluster, jobs, more, batches, claimable, fronts, unsettled, resealing, new_floor = row
    if locked and foreign_cluster:
        return reseal(connection, jobs_max=jobs_max, batch_max=batch_max)
    if jobs:
        events.emit(events.SEAL_BATCHES, jobs=jobs, batches=batches)
    headed = advance(connection, batch_max=batch_max) if unsettled and locked else 0
    ready = {} if claimable is None else msgspec.json.decode(claimable, type=dict[int, int])
    first = {} if fronts is None else msgspec.json.decode(fronts, type=dict[int, str])
    step = Sealed(jobs + headed, batches, bool(more and locked), bool(locked), int(new_floor), ready, first, headed)
    if not (locked and resealing):
        return step
    restored = reseal(connection, jobs_max=jobs_max, batch_max=batch_max)
    return step._replace(
        jobs=step.jobs + restored.jobs, more=step.more or restored.more, headed=step.headed + restored.headed
    )


def advance(connection: psycopg.Connection[Any], *, batch_max: int = BATCH_JOBS_MAX) -> int:
    """Bring the next job of each line whose head is out of the way to where it can be claimed; return how many.

    Before that, correct the times of jobs that were replaced during a seal. Under the sealer's lock: its holder
    sees to what is left.
    """
    jobs, more = 0, True
    while more:
        with pipeline(connection) as pipe:
            pipe.execute(_LOCK, prepare=True)
            pipe.execute(_REPLACED, prepare=True)
            answer = pipe.execute(_ADVANCE, {"lines_max": LINES_MAX, "batch_max": batch_max}, prepare=True)
        row = answer.fetchone()
        assert row is not None
        headed, more = row
        jobs += headed
    return jobs


def seal_all(connection: psycopg.Connection[Any], floor: int = 0) -> int:
    """Seal until nothing is left that was committed before this call; return the jobs sealed."""
    jobs = 0
    while (step := seal(connection, floor)).more:
        jobs += step.jobs
        floor = step.floor
    return jobs + step.jobs


def may_seal(connection: psycopg.Connection[Any]) -> bool:
    """Return whether the connected role has the right to seal."""
    row = connection.execute(_MAY_SEAL).fetchone()
    return row is not None and bool(row[0])


def wait_for_sealer(connection: psycopg.Connection[Any], wait_ms: int) -> None:
    """Wait until the step that another session is sealing, if one is, has ended. The connection must be at rest.

    Raises LockNotAvailable when that takes longer than `wait_ms`.
    """
    with connection.transaction():
        connection.execute(_LIMIT, {"ms": str(wait_ms)})
        connection.execute(_AWAIT)


def reseal(
    connection: psycopg.Connection[Any], *, jobs_max: int = SEAL_JOBS_MAX, batch_max: int = BATCH_JOBS_MAX
) -> Sealed:
    """Do one step of sealing what was restored from another cluster; the first one begins the ledger of this cluster.

    Every step is a transaction of its own, and goes on where the last one ended, whichever process made that. Does
    nothing where nothing was restored. `headed` counts all jobs: their batches may lie ahead of what a worker has seen
    of its lanes.
    """
    with pipeline(connection) as pipe:
        locked = pipe.execute(_LOCK)
        begun = pipe.execute(_RESTORED)
        pipe.execute(_RESEAL_OPEN)
        answer = pipe.execute(
            _RESEAL, {"jobs_max": jobs_max, "rows_max": RESEAL_ROWS_MAX, "batch_max": batch_max}, prepare=True
        )
    held, started, row = locked.fetchone(), begun.fetchone(), answer.fetchone()
    assert held is not None
    assert row is not None
    jobs, more, lined_up, done = row
    if started is not None:
        events.emit(events.SEAL_RESTORED)
    if done is not None:
        events.emit(events.SEAL_RESEALED, jobs=done)
    headed = advance(connection, batch_max=batch_max) if lined_up else 0
    return Sealed(jobs + headed, 0, bool(more), held[0] == "true", 0, headed=jobs + headed)


def mend_ids(connection: psycopg.Connection[Any]) -> bool:
    """Move the id sequence up if it is behind ids in use, and have jobs found that seals may have passed over.

    Return whether it was behind and still is, because another session seals just now: call again.
    """
    row = connection.execute(_BEHIND).fetchone()
    if row is None:
        return False
    at, least = row
    with pipeline(connection) as pipe:
        pipe.execute(_LOCK)
        pipe.execute(_DOUBT)
        raised = pipe.execute(_RAISE_IDS, {"least": least})
    if raised.fetchone() is None:
        return True
    events.emit(events.SEAL_IDS_BEHIND, at=at, raised_to=least)
    return False


def doubt(connection: psycopg.Connection[Any]) -> bool:
    """Have every job looked for, and sealed where it is nowhere; return whether that begins now."""
    with pipeline(connection) as pipe:
        pipe.execute(_LOCK)
        begun = pipe.execute(_DOUBT)
    return begun.fetchone() is not None
