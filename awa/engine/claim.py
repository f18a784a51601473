"""Claim: lease ready batches, whole or in part, to one worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.errors import LockNotAvailable

from awa.database.pipeline import Pipeline, QueryResult, execute_prepared, pipeline
from awa.database.statements import statement
from awa.engine.arrays import numbers, texts
from awa.job import codec

FROM_THE_START: Final = "-infinity"
"""The start of a lane that is to be read from its very beginning."""

DEEPER: Final = 16
"""A claim that has seen locked batches only looks at so many times as many …"""
DEEP_MAX: Final = 16_384
"""… but at no more than this over all lanes."""

READ_BYTES_MAX: Final = 32 * 2**20
"""Arguments and metadata that are read at a time."""
COMPRESSION: Final = 32
"""Assumed ratio of a value's length when read to its stored size, for slices."""
NOT_READ: Final = b"null"
"""In the place of arguments that are too large to be read with those of the whole lease; see `contents`."""

_LANES = statement("claim/lanes")
_CLAIM = statement("claim/claim")
_FREE = statement("claim/free")
_AWAIT = statement("claim/await")
_AWAIT_MS = statement("claim/await_ms")
_BODIES = statement("claim/bodies")
_CONTENTS = statement("claim/contents")
_READY = statement("claim/ready")
_UNTOUCHED = statement("claim/untouched")
_ERRORS = statement("claim/errors")
_UNSTARTED = statement("claim/unstarted")
_BEGIN = statement("claim/begin")
_LEASED = statement("claim/leased")


class Lane(NamedTuple):
    """The properties that all batches of a lane share."""

    id: int
    queue: str
    kind: str
    priority: int
    deadline_s: int
    """Time limit of the queue's jobs, in seconds; 0: none."""
    is_unique: bool = False
    """There may be jobs with a unique key, which a producer may be replacing."""
    passes_on: bool = False
    """There may be jobs with an ordering key, and the next one of a line may start when one has."""


class LaneRequest(NamedTuple):
    """A request to claim from one lane."""

    lane: int
    start: str
    """Order key of the lane's last claimed batch, as the server wrote it, or `FROM_THE_START`."""
    cost_us: float
    """Expected microseconds a job."""


class Lease(NamedTuple):
    """Jobs of one batch that a worker owns from now on, in the order they are to run."""

    lane: int
    sort_at: str
    retry_round: int
    ids: list[int]
    attempts: list[int] | None
    """Attempts each job has behind it; None: none has any."""
    left: int
    """Number of jobs of its batch that were left unclaimed."""


class Claimed(NamedTuple):
    """The result of a claim."""

    leases: list[Lease]
    seen: list[int]
    """Ready batches at the front, in order: with no leases, all of them were locked by others."""
    registered: bool
    """False: this worker has been declared dead and must sign in again."""
    ahead: list[int]
    """The lanes of the next ready batches in order, those claimed included, as far as was asked for."""
    workers: int
    """Number of workers on all nodes."""
    since: str
    """Time of the leases, as the server wrote it."""
    clock_us: int
    """The server's time as it answered, microseconds since the epoch."""
    passed: Mapping[int, str] = MappingProxyType({})
    """Start positions for claims in these lanes, for some time: batches before them are locked by other
    transactions."""

    @property
    def jobs(self) -> int:
        """Return the number of jobs in the leases."""
        return sum(len(lease.ids) for lease in self.leases)


class StoredJob(NamedTuple):
    """A job as it was inserted. JSON columns are raw bytes."""

    id: int
    created_at: datetime
    run_at: datetime | None
    priority: int
    max_attempts: int
    """0: as its task says."""
    timeout_ms: int | None
    """As in NewJob."""
    queue: str
    kind: str
    args: bytes
    """`NOT_READ`: they and the metadata are still to be read."""
    metadata: bytes | None
    tags: list[str] | None
    expires_at: datetime | None = None
    unique_key: bytes | None = None
    unique_states: int | None = None
    ordering_key: bytes | None = None


def lanes(connection: psycopg.Connection[Any], kinds: Sequence[str], queues: Sequence[str] | None = None) -> list[Lane]:
    """Return the lanes that hold (or have held) jobs of these kinds, in these queues (None: in any)."""
    wanted = {"queues": None if queues is None else texts(queues), "kinds": texts(kinds)}
    return [Lane(*row) for row in execute_prepared(connection, _LANES, wanted)]


def ready(connection: psycopg.Connection[Any], lane_ids: Sequence[int], jobs_max: int) -> int:
    """Return how many jobs of these lanes could be claimed now; stops counting soon after `jobs_max`."""
    row = execute_prepared(connection, _READY, {"lanes": numbers(lane_ids), "jobs_max": jobs_max}).fetchone()
    return row[0] if row else 0


def send_claim(
    pipe: Pipeline,
    worker: int,
    requests: Sequence[LaneRequest],
    *,
    budget_us: float,
    batches_max: int = 4,
    depth: int | None = None,
    ahead: int = 0,
) -> QueryResult:
    """Send a claim; `read_claim` reads the answer (apart, so that other statements can go with it).

    Takes batches in key order until they hold `budget_us` of expected work, at least one job, at most `batches_max`
    batches. `depth` is how many batches to look at; the surplus is for those that other claimers hold. `ahead`: of how
    many of the next batches to tell the lanes.
    """
    return pipe.execute(_CLAIM, _parameters(worker, requests, budget_us, batches_max, depth, ahead), prepare=True)


def read_claim(answer: QueryResult) -> Claimed:
    """Read the answer to `send_claim`."""
    rows = answer.fetchall()
    seen, ahead, registered, workers, since, clock_us = rows[0][:6]
    leases = [Lease(*row[6:]) for row in rows if row[6] is not None]
    return Claimed(leases, seen or [], registered, ahead or [], workers, since, clock_us)


def claim(
    connection: psycopg.Connection[Any],
    worker: int,
    requests: Sequence[LaneRequest],
    *,
    budget_us: float,
    batches_max: int = 4,
    depth: int | None = None,
    ahead: int = 0,
) -> Claimed:
    """Claim in a round trip of its own; see `send_claim`.

    Where every batch at the front is locked, claims from behind them; see `claim_past`.
    """
    wanted = _parameters(worker, requests, budget_us, batches_max, depth, ahead)
    claimed = read_claim(execute_prepared(connection, _CLAIM, wanted))
    if claimed.leases or not claimed.seen:
        return claimed
    return claim_past(
        connection, worker, requests, claimed, budget_us=budget_us, batches_max=batches_max, depth=depth, ahead=ahead
    )


def claim_past(
    connection: psycopg.Connection[Any],
    worker: int,
    requests: Sequence[LaneRequest],
    locked: Claimed,
    *,
    budget_us: float,
    batches_max: int = 4,
    depth: int | None = None,
    ahead: int = 0,
) -> Claimed:
    """Claim once more, where the claim that brought `locked` saw batches and every one of them was locked.

    Other claimers lock a batch for an instant, and a look a little deeper finds others. A transaction of an application
    (cancels that are not committed) may keep any number locked for hours: then the first free batch of each lane is
    looked for. When all are locked, waits for the first of them, for as long as a claim may take, and claims a last
    time, instead of calling the queue empty. If that is in vain, too, the answer has no leases, and says in `seen` what
    it saw.
    """
    wanted = _parameters(worker, requests, budget_us, batches_max, depth, ahead)
    usual: int = wanted["depth"]
    deeper = max(usual, min(DEEPER * usual, DEEP_MAX // max(1, len(requests))))
    if len(locked.seen) >= usual and deeper > usual:  # else it has seen all there are
        locked = read_claim(execute_prepared(connection, _CLAIM, {**wanted, "depth": deeper}))
        if locked.leases or not locked.seen:
            return locked
    if len(locked.seen) >= usual:
        free = {lane: (start, ties) for lane, start, ties in execute_prepared(connection, _FREE, _where(requests))}
        starts = {lane: start for lane, (start, _) in free.items()}
        behind = [want._replace(start=starts.get(want.lane, want.start)) for want in requests]
        deep = usual + max((ties for _, ties in free.values()), default=0)
        claimed = read_claim(
            execute_prepared(connection, _CLAIM, _parameters(worker, behind, budget_us, batches_max, deep, ahead))
        )
        if claimed.leases:
            return claimed._replace(passed=starts)
    if not _await(connection, locked.seen[0]):
        return locked
    return read_claim(execute_prepared(connection, _CLAIM, wanted))


def _parameters(
    worker: int, requests: Sequence[LaneRequest], budget_us: float, batches_max: int, depth: int | None, ahead: int
) -> dict[str, Any]:
    return {
        "worker": worker,
        **_where(requests),
        "costs": numbers(max(want.cost_us, 1.0) for want in requests),
        "budget": float(budget_us),
        "depth": depth or batches_max + 16,
        "batches_max": batches_max,
        "ahead": ahead,
    }


def _where(requests: Sequence[LaneRequest]) -> dict[str, str]:
    starts = ",".join(f'"{want.start}"' for want in requests)
    return {"lanes": numbers(want.lane for want in requests), "starts": f"{{{starts}}}"}


def _await(connection: psycopg.Connection[Any], batch: int) -> bool:
    """Wait until a batch is not locked; False when that takes longer than a claim does."""
    try:
        with pipeline(connection) as pipe:
            pipe.execute(_AWAIT_MS)
            pipe.execute(_AWAIT, {"batch": batch}, prepare=True)
    except LockNotAvailable:
        return False
    return True


def untouched(connection: psycopg.Connection[Any], ids: Sequence[int]) -> set[int]:
    """Return those of these leased jobs that no transaction is replacing at this moment. Ask before their bodies."""
    return {row[0] for row in execute_prepared(connection, _UNTOUCHED, {"ids": numbers(ids)})}


def errors(connection: psycopg.Connection[Any], job_id: int) -> list[dict[str, Any]]:
    """Return the errors of a job's attempts so far, oldest first."""
    return [codec.decode(error) for (error,) in connection.execute(_ERRORS, {"id": job_id})]


def unstarted(connection: psycopg.Connection[Any], ids: Sequence[int]) -> set[int]:
    """Return those of these leased jobs that have an `expires_at` and have never been started."""
    return {row[0] for row in execute_prepared(connection, _UNSTARTED, {"ids": numbers(ids)})}


def leased(connection: psycopg.Connection[Any], worker: int) -> set[int]:
    """Return the jobs that a worker still has in lease."""
    return {row[0] for row in execute_prepared(connection, _LEASED, {"worker": worker})}


def begin(connection: psycopg.Connection[Any], worker: int, job: int) -> None:
    """Let the next one of its line go, and a unique key that is held until the start, since a job is about to start."""
    execute_prepared(connection, _BEGIN, {"worker": worker, "id": job})


def bodies(connection: psycopg.Connection[Any], ids: Sequence[int]) -> dict[int, StoredJob]:
    """Return the bodies of claimed jobs by id, in one statement and never more than a slice of bytes together.

    Those with more than their share of it come without metadata, and with `NOT_READ` for their arguments.
    """
    light = READ_BYTES_MAX // len(ids)
    wanted = {
        "ids": numbers(ids),
        "first_id": min(ids),
        "end_id": max(ids),
        "light": light,
        "sure": light // COMPRESSION,
    }
    return {row[0]: StoredJob._make(row) for row in execute_prepared(connection, _BODIES, wanted).fetchall()}


def contents(connection: psycopg.Connection[Any], ids: Sequence[int]) -> dict[int, tuple[bytes, bytes | None]]:
    """Return arguments and metadata of the first of these jobs, and of as many behind it as fit into a slice."""
    bounds = {"first_id": min(ids), "end_id": max(ids), "slice": READ_BYTES_MAX, "compression": COMPRESSION}
    rows = execute_prepared(connection, _CONTENTS, {"ids": numbers(ids), **bounds}).fetchall()
    return {job: (args, metadata) for job, args, metadata in rows}
