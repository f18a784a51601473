"""Settle: record the outcomes of a lease's jobs, and only of those still in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import psycopg

from awa.database.errors import is_refusal, one_line
from awa.database.pipeline import Pipeline, QueryResult, pipeline
from awa.database.statements import statement
from awa.engine.arrays import numbers, texts
from awa.engine.claim import FROM_THE_START
from awa.engine.insert.single import Execute, ascii_json
from awa.job.attempt import Settlement
from awa.job.model import JobState
from awa.telemetry import events

_LOCK = statement("settle/lock")
_LOCK_WITHIN = statement("settle/lock_within")
_RECORDED = statement("settle/recorded")
_STANDS = statement("settle/stands")
_IDENTITY = statement("settle/identity")
_SETTLE = statement("settle/settle")
_DEAD_LETTER = statement("settle/dead_letter")
_RELEASE = statement("settle/release")
_COST = statement("settle/cost")
_STOPPED = statement("settle/stopped")
_LOCK_TIMEOUT = b"select set_config('lock_timeout', %(ms)s::int::text, true)"


class Sent(NamedTuple):
    """A settle on its way."""

    answer: QueryResult
    dead_lettered: QueryResult | None
    """The jobs that became dead letters; None: no job failed."""


def send_settle(pipe: Pipeline, worker: int, settlements: Sequence[Settlement], *, since: str = FROM_THE_START) -> Sent:
    """Send a settle inside an open transaction; `read_settle` reads the answer. For `since` see `settle`."""
    pipe.execute(_LOCK, {"worker": worker, "since": since}, prepare=True)
    answer = pipe.execute(_SETTLE, _parameters(worker, settlements, since, within=False), prepare=True)
    failed = [job.job_id for job in settlements if job.state == JobState.Failed]
    return Sent(answer, pipe.execute(_DEAD_LETTER, {"worker": worker, "ids": numbers(failed)}) if failed else None)


def _parameters(worker: int, settlements: Sequence[Settlement], since: str, *, within: bool) -> dict[str, Any]:
    ids, states, started, finished, cpu, peak, delays, payloads = zip(*settlements, strict=True)
    with_payload = [i for i, payload in enumerate(payloads) if payload is not None]
    return {
        "worker": worker,
        "since": since,
        "within": within,
        "ids": numbers(ids),
        "outcomes": numbers(map(int, states)),
        "started": numbers(started),
        "finished": numbers(finished),
        "cpu": numbers(cpu),
        "peak": numbers(peak),
        "delays": numbers(delays),
        "payload_ids": numbers(ids[i] for i in with_payload),
        "payloads": texts((ascii_json if within else bytes.decode)(payloads[i]) for i in with_payload),
    }


def read_settle(sent: Sent) -> set[int]:
    """Read the answer to `send_settle`: the ids that were accepted."""
    for reason, jobs in Counter(reason for (reason,) in sent.dead_lettered or ()).items():
        events.emit(events.DLQ_MOVED, jobs=jobs, reason=reason)
    row = sent.answer.fetchone()
    return set(row[0]) if row else set()


def settle(
    connection: psycopg.Connection[Any],
    worker: int,
    settlements: Sequence[Settlement],
    *,
    since: str = FROM_THE_START,
    patience_ms: int | None = None,
) -> set[int]:
    """Record the outcomes; return the ids accepted. `since` is when the claim was that leased these jobs, or earlier.

    The others are no longer in a lease of this worker (cancelled, rescued, or settled before): their outcome is void.
    With `patience_ms`, raises `psycopg.errors.LockNotAvailable` when the lease is kept locked for longer.
    """
    if not settlements:
        return set()
    with pipeline(connection) as pipe:
        _limit_wait(pipe, patience_ms)
        sent = send_settle(pipe, worker, settlements, since=since)
    accepted = read_settle(sent)
    note_costs(connection, worker, settlements, accepted)
    return accepted


def note_costs(
    connection: psycopg.Connection[Any],
    worker: int,
    settlements: Sequence[Settlement],
    accepted: set[int],
    ends: Mapping[int, Mapping[str, Any]] | None = None,
) -> None:
    """Record what refused attempts cost, if they were refused because their jobs had been cancelled.

    `ends` says of those that were ended by force, by job, how, and where they were. Figures that the server refuses are
    dropped: the outcomes they belong to are settled by now.
    """
    refused = [each for each in settlements if each.job_id not in accepted]
    if not refused:
        return
    try:
        _note_costs(connection, worker, refused, ends or {})
    except Exception as error:
        if not is_refusal(error):
            raise
        for each in refused:
            events.emit(
                events.SETTLE_STAND_IN,
                worker=worker,
                job=each.job_id,
                kept="the cancellation, without what the attempt cost",
                error=one_line(error),
            )
    stopped(connection, worker, [each.job_id for each in refused])


def _note_costs(
    connection: psycopg.Connection[Any],
    worker: int,
    refused: Sequence[Settlement],
    ends: Mapping[int, Mapping[str, Any]],
) -> None:
    connection.execute(
        _COST,
        {
            "worker": worker,
            "ids": numbers(each.job_id for each in refused),
            "started": numbers(each.started_us for each in refused),
            "cpu": numbers(each.cpu_us for each in refused),
            "peak": numbers(each.peak_kb for each in refused),
            "ends": msgspec.json.encode(ends).decode(),
        },
    )


def stopped(pipe: Pipeline, worker: int | None, jobs: Sequence[int] | None = None) -> None:
    """Let those go that wait, in the line of a serial queue, for a handler whose job was cancelled, or completed by it,
    while it ran: it has stopped.

    `jobs` of this worker; None: whatever it had. `worker` None: all that are not registered any more.
    """
    pipe.execute(_STOPPED, {"worker": worker, "ids": None if jobs is None else numbers(jobs)})


def release(connection: psycopg.Connection[Any], worker: int, keep: Sequence[int] = ()) -> int:
    """Hand the jobs of a worker's lease back, but for those in `keep`; return how many. No attempt is spent.

    Without `keep` the worker is in no job at all.
    """
    with pipeline(connection) as pipe:
        pipe.execute(_LOCK, _all_of(worker), prepare=True)
        answer = pipe.execute(_RELEASE, {"worker": worker, "keep": numbers(keep)})
        if not keep:
            stopped(pipe, worker)
    row = answer.fetchone()
    return row[0] if row else 0


def release_if(
    connection: psycopg.Connection[Any],
    worker: int,
    keep: Sequence[int],
    still: Callable[[], bool],
    *,
    patience_ms: int,
) -> int | None:
    """As `release`, for a worker that lives, if `still()` once its lease is locked; else None, and nothing is done.

    While the lease is locked the worker cannot settle, so it cannot claim either: what is handed back is what it held
    when `still` was asked, and not a lease it has begun since. Raises `psycopg.errors.LockNotAvailable` when a session
    else keeps it locked for `patience_ms`.
    """
    with connection.transaction():
        _limit_wait(connection, patience_ms)
        if not connection.execute(_LOCK, _all_of(worker), prepare=True).rowcount or not still():
            return None
        row = connection.execute(_RELEASE, {"worker": worker, "keep": numbers(keep)}).fetchone()
    return row[0] if row else 0


def _all_of(worker: int) -> dict[str, Any]:
    """Return the parameters that lock all that a worker has leased."""
    return {"worker": worker, "since": FROM_THE_START}


def _limit_wait(pipe: Pipeline, patience_ms: int | None) -> None:
    """Wait no longer for locks than this, until the end of the transaction."""
    if patience_ms is not None:
        pipe.execute(_LOCK_TIMEOUT, {"ms": patience_ms})


# In a transaction of the application's


class Recorded(NamedTuple):
    """The fate of a settle inside an application's transaction."""

    status: str | None
    """State of that transaction: "committed", "aborted", "in progress", or None where it is unknown."""
    recorded: bool
    """True if the outcome is there to see."""


def settle_within(execute: Execute, worker: int, settlement: Settlement) -> str | None:
    """Record the outcome of one job in the transaction that `execute` works in; return the transaction's number.

    None, and nothing is recorded, when the job is no longer in a lease of this worker. From here to its end the
    transaction keeps the lease locked, and the server ends it when nothing is heard of it for ten seconds.
    """
    batches = execute(_LOCK_WITHIN, {"worker": worker})
    if not batches:
        return None
    ((accepted,),) = execute(_SETTLE, _parameters(worker, [settlement], FROM_THE_START, within=True))
    return str(batches[0][1]) if accepted else None


def recorded(execute: Execute, worker: int, job: int, attempt: int, xid: str | None) -> Recorded:
    """Return what became of a job's completion in transaction `xid` (None: unknown)."""
    ((status, is_there),) = execute(_RECORDED, {"worker": worker, "job": job, "attempt": attempt, "xid": xid})
    return Recorded(status, is_there)


def stands(connection: psycopg.Connection[Any], worker: int, *, since: str = FROM_THE_START) -> bool:
    """Return whether anything is left of what a worker has leased since then."""
    row = connection.execute(_STANDS, {"worker": worker, "since": since}).fetchone()
    return row is not None and bool(row[0])


def identity(execute: Execute) -> tuple[int, int]:
    """Return which database `execute` works in: the number of its cluster, and its own."""
    ((cluster, database),) = execute(_IDENTITY, {})
    return int(cluster), int(database)
