"""Seal: route newly committed jobs, due ones into batches, future ones to deferred."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec
import psycopg

from awa import telemetry
from awa.database.pipeline import one_trip
from awa.database.statements import statement

STEP_JOBS_MAX: Final = 20_000
"""Jobs one seal step reads and routes: about 100 ms of a server's work."""
LINES_MAX: Final = 10_000
"""Lines in which one step looks for a new head."""
BATCH_JOBS_MAX: Final = 128
"""Jobs in a batch: 1 KiB of ids. Twice as many bought 3 % and made splits dearer."""

_LOCK = statement("seal/lock")
_SEAL = statement("seal/seal")
_RESEAL = statement("seal/reseal")
_AWAIT = statement("seal/await")
_LIMIT: Final = b"select set_config('lock_timeout', %(ms)s, true)"
_MAY_SEAL = statement("seal/may_seal")
_REPLACED = statement("seal/replaced")
_ADVANCE = statement("seal/advance")


class Sealed(NamedTuple):
    """What one step of sealing did."""

    jobs: int
    """Jobs routed by this step, those brought to the head of their line included."""
    batches: int
    more: bool
    """The step was full, or finished what an earlier one had begun: there may be more jobs, seal again."""
    locked: bool
    """Whether this was the sealer; False: somebody else is sealing at this moment."""
    floor: int
    """No job below this id can still be unsealed; give it to the next call."""
    claimable: Mapping[int, int] = MappingProxyType({})
    """How many jobs this step has made ready to be claimed, by lane; those of paused queues left out."""
    fronts: Mapping[int, str] = MappingProxyType({})
    """The first order key of these, by lane, as the server wrote it."""
    headed: int = 0
    """How many jobs were brought to the head of their line, anywhere in their lanes."""


def seal(
    connection: psycopg.Connection[Any],
    floor: int = 0,
    *,
    jobs_max: int = STEP_JOBS_MAX,
    batch_max: int = BATCH_JOBS_MAX,
    force: bool = False,
) -> Sealed:
    """Seal at most `jobs_max` jobs. `force` moves the cursor on even when there are none.

    Must not run in a transaction that has inserted jobs. A ledger of another cluster (a restored dump) is resealed.
    """
    with one_trip(connection) as trip:
        trip.execute(_LOCK, prepare=True)
        answer = trip.execute(
            _SEAL, {"floor": floor, "jobs_max": jobs_max, "batch_max": batch_max, "force": force}, prepare=True
        )
    row = answer.fetchone()
    assert row is not None
    locked, foreign_cluster, jobs, more, batches, claimable, fronts, unsettled, new_floor = row
    if locked and foreign_cluster:
        return reseal(connection, batch_max=batch_max)
    if jobs:
        telemetry.emit(telemetry.SEAL_BATCHES, jobs=jobs, batches=batches)
    headed = advance(connection, batch_max=batch_max) if unsettled and locked else 0
    ready = {} if claimable is None else msgspec.json.decode(claimable, type=dict[int, int])
    first = {} if fronts is None else msgspec.json.decode(fronts, type=dict[int, str])
    return Sealed(jobs + headed, batches, bool(more and locked), bool(locked), int(new_floor), ready, first, headed)


def advance(connection: psycopg.Connection[Any], *, batch_max: int = BATCH_JOBS_MAX) -> int:
    """Bring the next job of each line whose head is out of the way to where it can be claimed; return how many.

    Before that, correct the times of jobs that were replaced during a seal. Under the sealer's lock: whoever has it now
    sees to what is left.
    """
    jobs, more = 0, True
    while more:
        with one_trip(connection) as trip:
            trip.execute(_LOCK, prepare=True)
            trip.execute(_REPLACED, prepare=True)
            answer = trip.execute(_ADVANCE, {"lines_max": LINES_MAX, "batch_max": batch_max}, prepare=True)
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


def reseal(connection: psycopg.Connection[Any], *, batch_max: int = BATCH_JOBS_MAX) -> Sealed:
    """Start the ledger anew after a restore from another cluster: every job that is nowhere is routed.

    Reads the whole log once. A second caller waits for nobody and finds a ledger of this cluster.
    """
    with one_trip(connection) as trip:
        locked = trip.execute(_LOCK)
        trip.execute(b"select set_config('enable_seqscan', 'on', true)")
        answer = trip.execute(_RESEAL, {"batch_max": batch_max})
    held = locked.fetchone()
    row = answer.fetchone()
    jobs, is_done = row or (0, False)
    if is_done:
        telemetry.emit(telemetry.SEAL_RESTORED, jobs=jobs)
    return Sealed(jobs, 0, False, bool(held and held[0] == "true"), 0)
