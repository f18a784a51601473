"""Rescue: take the leases of dead workers apart. The way back from lease to ready batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import psycopg
from psycopg import errors as pg

from awa.database.errors import is_refusal, one_line
from awa.database.pipeline import Pipeline, QueryResult, pipeline
from awa.database.statements import statement
from awa.engine import narrow
from awa.engine.arrays import numbers
from awa.engine.claim import FROM_THE_START
from awa.engine.settle import note_costs, read_settle, send_settle, stopped
from awa.job.attempt import Settlement
from awa.job.model import JobState
from awa.telemetry import events

RETRIED_AT_ONCE: Final = 1
"""A job whose worker died in its first attempt is retried without delay; after that with the usual back-off, so that
one that kills its process does not do so in a tight loop."""
HEARTBEAT_STALE: Final = "heartbeat stale: node presumed dead"

_LOCK = statement("settle/lock")
_RESCUE = statement("rescue/rescue")
_STALE_NODE = statement("rescue/stale_node")
_ORPHANS = statement("rescue/orphans")
_STRAYED = statement("rescue/strayed")
_FORGED = statement("rescue/forged")
_LEAVE_WORKER = statement("nodes/leave_worker")
_LEAVE_NODE = statement("nodes/leave_node")


class WorkerExit(NamedTuple):
    """The end of a worker, as far as it was observed."""

    reason: str
    """Stored as the error of the job that was running: "killed by SIGKILL"."""
    running: int | None = None
    """The job it died in; 0: in none; None: unknown, so the first unsettled job of its lease is taken to be it."""
    started_us: int | None = None
    """Start of that job, microseconds since the epoch."""
    cpu_us: int | None = None
    peak_kb: int | None = None
    details: Mapping[str, Any] = {}
    """Further fields to store with the error, e.g. `{"type": "WorkerDied", "signal": 9}`."""
    attempts_at_once: int = RETRIED_AT_ONCE
    """In its first so many attempts the job is retried without delay."""
    may_retry: bool = True
    """False: it fails, whatever attempts are left."""
    is_of_the_job: bool = False
    """Return whether the job is the likely cause of the worker's death: no one else has killed it."""


NODE_LOST: Final = WorkerExit(HEARTBEAT_STALE, details={"type": "NodeLost"}, attempts_at_once=1_000)
"""Retried without delay, whichever attempt it was: the silence has been delay enough."""


PROCESS_LOST: Final = NODE_LOST._replace(reason="the process that worked inline has been killed")
"""The same for a node that lived as long as one connection."""


class Rescued(NamedTuple):
    """The result of taking a dead worker's lease apart."""

    settled: int
    """Jobs that had finished; now settled."""
    suspect: int | None
    """The job whose attempt is spent."""
    exhausted: bool
    """That was its last attempt: it failed."""
    returned: int
    """Untouched jobs, ready again."""
    kind: str | None = None
    """The kind of the suspect."""
    deaths: int | None = None
    """Number of workers killed by jobs of this kind in the last ten minutes; None: this one died of something else."""


def rescue(
    connection: psycopg.Connection[Any], worker: int, worker_exit: WorkerExit, finished: Sequence[Settlement] = ()
) -> Rescued:
    """Settle what a dead worker had finished, spend the attempt of the job it died in, return the rest.

    One transaction, and the worker is signed out with it. Harmless when repeated or when two do it at once. What the
    server refuses to store of an outcome, or of the death, is narrowed down and left out: the lease is taken apart all
    the same.
    """
    try:
        settled, rescued = _rescue(connection, worker, worker_exit, finished)
    except Exception as error:
        if not is_refusal(error):
            raise
        settled = narrow.settle(connection, worker, finished)
        rescued = _rescue_narrowly(connection, worker, worker_exit)._replace(settled=len(settled))
    note_costs(
        connection, worker, [*finished, *_unsettled(worker_exit)], settled | {rescued.suspect or 0}, _ends(worker_exit)
    )
    return rescued


def _rescue(
    connection: psycopg.Connection[Any], worker: int, worker_exit: WorkerExit, finished: Sequence[Settlement]
) -> tuple[set[int], Rescued]:
    """Return the finished jobs that were settled, and what became of the lease."""
    with pipeline(connection) as pipe:
        settled = send_settle(pipe, worker, finished) if finished else None
        answer = _send(pipe, worker, worker_exit)
        stopped(pipe, worker)
        pipe.execute(_LEAVE_WORKER, {"worker": worker})
    accepted = read_settle(settled) if settled else set()
    return accepted, _read(worker, worker_exit, answer, len(accepted))


def _rescue_narrowly(connection: psycopg.Connection[Any], worker: int, worker_exit: WorkerExit) -> Rescued:
    """Take a lease apart in the best form that the server takes."""
    return _narrowed(worker, worker_exit, lambda form: _rescue(connection, worker, form, ())[1], connection)


def _narrowed(
    worker: int,
    worker_exit: WorkerExit,
    take_apart: Callable[[WorkerExit], Rescued],
    connection: psycopg.Connection[Any],
) -> Rescued:
    """Take a lease apart by `take_apart`, leaving out of `worker_exit` what the server refuses to store."""
    refusal: Exception = AssertionError("nothing was refused")
    for kept, form in _forms(worker_exit):
        try:
            rescued = take_apart(form)
        except Exception as error:
            if not is_refusal(error):
                raise
            refusal = error
            if isinstance(error, pg.IntegrityError):
                narrow.reconcile(connection, worker)
            continue
        if form is not worker_exit:
            events.emit(
                events.SETTLE_STAND_IN,
                worker=worker,
                job=rescued.suspect or worker_exit.running,
                kept=kept,
                error=one_line(refusal),
            )
        return rescued
    raise refusal


def _forms(worker_exit: WorkerExit) -> Iterator[tuple[str, WorkerExit]]:
    """Yield what may be stored of a death, and how that is called; the whole of it twice, because the lease may have
    been made to agree with the attempts on record in between."""
    yield "", worker_exit
    yield "the death, as a later attempt", worker_exit._replace()
    yield (
        "a stand-in",
        WorkerExit(
            "its worker died; the server refused to store how",
            worker_exit.running,
            details={"type": worker_exit.details.get("type", "WorkerDied")},
            attempts_at_once=worker_exit.attempts_at_once,
            may_retry=worker_exit.may_retry,
        ),
    )
    yield "nothing: it runs again, with no attempt spent", WorkerExit("its worker died", running=0)


def rescue_stale(
    connection: psycopg.Connection[Any],
    silent: Mapping[int, int],
    *,
    still: Callable[[], bool] = lambda: True,
    worker_exit: WorkerExit = NODE_LOST,
) -> list[str]:
    """Rescue nodes that have been silent for too long; return their names.

    `silent` holds, by node, how many heartbeats there were of it when its silence began. Who judges that does so by a
    clock of its own: the server's may be set.

    Also leases whose owner is not registered at all: a claim that was under way when its worker was taken apart. No job
    of such a lease was ever begun, so none has spent an attempt.

    Each node is a transaction of its own. One whose lease is kept locked for longer than the connection's
    lock_timeout does not keep the others waiting; then `psycopg.errors.LockNotAvailable` is raised at the end.

    `still()` is asked when the answer that a node is still silent has come; if it says no, that node is left alone.
    """
    names: list[str] = []
    locked: pg.LockNotAvailable | None = None
    for node, beat in silent.items():
        try:
            names += _rescue_node(connection, node, beat, still, worker_exit)
        except pg.LockNotAvailable as error:
            locked = error
    for (owner,) in connection.execute(_ORPHANS).fetchall():
        with connection.transaction():
            _take_apart_narrowly(connection, owner, WorkerExit("claimed by a worker that was gone", running=0))
    stopped(connection, None)
    if locked is not None:
        raise locked
    return names


def strayed(connection: psycopg.Connection[Any], running: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    """Return those of (worker, job) that are no longer in the worker's lease, although it runs them: cancelled, or
    given to others."""
    if not running:
        return set()
    workers, jobs = zip(*running, strict=True)
    return {
        (row[0], row[1]) for row in connection.execute(_STRAYED, {"workers": numbers(workers), "jobs": numbers(jobs)})
    }


def is_forged(connection: psycopg.Connection[Any], worker: int, job: int) -> bool:
    """Return whether `job`, which `worker` shows as the one it runs, has never been in its lease."""
    row = connection.execute(_FORGED, {"worker": worker, "job": job}).fetchone()
    return row is not None and bool(row[0])


def _unsettled(worker_exit: WorkerExit) -> list[Settlement]:
    """Return the job that a worker died in as if it had ended, if what it cost is known."""
    if not worker_exit.running or worker_exit.started_us is None or worker_exit.cpu_us is None:
        return []
    cost = (worker_exit.cpu_us, worker_exit.peak_kb or 0)
    return [
        Settlement(
            worker_exit.running, JobState.Cancelled, worker_exit.started_us, worker_exit.started_us, *cost, -1, None
        )
    ]


def _ends(worker_exit: WorkerExit) -> dict[int, dict[str, Any]]:
    """Return how the job that a worker died in was ended, for the case that it had been cancelled: its error's type is
    the cancellation's then."""
    how = {name: value for name, value in worker_exit.details.items() if name != "type"}
    return {worker_exit.running: how} if worker_exit.running else {}


def _rescue_node(
    connection: psycopg.Connection[Any], node: int, beat: int, still: Callable[[], bool], worker_exit: WorkerExit
) -> list[str]:
    """Take a node apart; return its name, or nothing when it is alive after all or another session is at it."""
    with connection.transaction():
        row = connection.execute(_STALE_NODE, {"node": node, "beat": beat}).fetchone()
        if row is None or not still():
            return []
        name, workers = row
        for worker in workers:
            _take_apart_narrowly(connection, worker, worker_exit)
        connection.execute(_LEAVE_NODE, {"node": node})
    events.emit(events.RESCUE_NODE, node=name, workers=len(workers))
    return [name]


def _take_apart_narrowly(connection: psycopg.Connection[Any], worker: int, worker_exit: WorkerExit) -> None:
    """Take a lease apart inside a transaction: one that the server refuses does not keep the node's others."""

    def take_apart(form: WorkerExit) -> Rescued:
        with connection.transaction():
            rescued = _read(worker, form, _send(connection, worker, form), 0)
            stopped(connection, worker)
        return rescued

    _narrowed(worker, worker_exit, take_apart, connection)


def _send(pipe: Pipeline, worker: int, worker_exit: WorkerExit) -> QueryResult:
    pipe.execute(_LOCK, {"worker": worker, "since": FROM_THE_START}, prepare=True)
    return pipe.execute(
        _RESCUE,
        {
            "worker": worker,
            "suspect": worker_exit.running,
            "reason": worker_exit.reason,
            "details": msgspec.json.encode(dict(worker_exit.details)).decode(),
            "started": worker_exit.started_us,
            "cpu": worker_exit.cpu_us,
            "peak": worker_exit.peak_kb,
            "at_once": worker_exit.attempts_at_once,
            "may_retry": worker_exit.may_retry,
            "blamed": worker_exit.is_of_the_job,
        },
    )


def _read(worker: int, worker_exit: WorkerExit, answer: QueryResult, settled: int) -> Rescued:
    row = answer.fetchone()
    assert row is not None
    suspect, exhausted, returned, dead_lettered, kind, deaths = row
    rescued = Rescued(settled, suspect, bool(exhausted), returned, kind, deaths)
    if any(rescued):
        events.emit(events.RESCUE_JOBS, worker=worker, reason=worker_exit.reason, **rescued._asdict())
    if dead_lettered:
        events.emit(events.DLQ_MOVED, jobs=1, reason=worker_exit.reason)
    return rescued
