"""Narrow: find the outcomes that the server refuses, so that they hold up no others.

A lease is settled in one transaction, and one outcome that the server cannot store (text that the database's encoding
lacks, a number out of range, an attempt that is on record already) undoes all of it. So a refused settle is halved
until the culprit stands alone. It gets, in this order, the first of these that the server takes:

    its outcome     once the lease agrees with the attempts on record (`settle/reconcile.sql`)
    a stand-in      the same end of the attempt, with an error (or result) that says what was refused
    the bare end    no error or result, no figures
    another run     no attempt on record; the job comes back after `AGAIN_US`

A job for which the server takes none of them stays in the lease, and is named in the log.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import psycopg

from awa.backoff import DELAY_SECONDS_MAX
from awa.database.errors import is_refusal, one_line
from awa.database.statements import statement
from awa.engine import nodes
from awa.engine import settle as plain
from awa.engine.arrays import numbers
from awa.engine.claim import FROM_THE_START
from awa.job.attempt import Settlement
from awa.job.model import JobState
from awa.task.error_entry import error_entry
from awa.task.outcome import RESULT_NOT_STORED
from awa.telemetry import events

AGAIN_US: Final = 300_000_000
"""Delay of a job whose outcome cannot be stored in any form, microseconds."""

_LOCK = statement("settle/lock")
_RECONCILE = statement("settle/reconcile")


def settle(
    connection: psycopg.Connection[Any],
    worker: int,
    settlements: Sequence[Settlement],
    *,
    since: str = FROM_THE_START,
    patience_ms: int | None = None,
) -> set[int]:
    """Settle as `awa.engine.settle.settle` does; return the ids accepted, those with a stand-in included.

    Raises what is no refusal; what has been settled by then stays so.
    """
    try:
        return plain.settle(connection, worker, settlements, since=since, patience_ms=patience_ms)
    except Exception as error:
        if not is_refusal(error):
            raise
        if len(settlements) == 1:
            return _settle_alone(connection, worker, settlements[0], error, patience_ms)
    accepted: set[int] = set()
    half = len(settlements) // 2
    for part in (settlements[:half], settlements[half:]):
        accepted |= settle(connection, worker, part, since=since, patience_ms=patience_ms)
    return accepted


def reconcile(connection: psycopg.Connection[Any], worker: int, jobs: Sequence[int] | None = None) -> list[int]:
    """Make a lease agree with the attempts on record, for some jobs (None: for all); return those that left it."""
    with connection.transaction():
        connection.execute(_LOCK, {"worker": worker, "since": FROM_THE_START}, prepare=True)
        wanted = {"worker": worker, "ids": None if jobs is None else numbers(jobs)}
        row = connection.execute(_RECONCILE, wanted).fetchone()
    return list(row[0]) if row else []


def _settle_alone(
    connection: psycopg.Connection[Any], worker: int, job: Settlement, refusal: Exception, patience_ms: int | None
) -> set[int]:
    """Settle one job in the best form that the server takes."""
    if isinstance(refusal, psycopg.IntegrityError) and reconcile(connection, worker, [job.job_id]):
        _say(worker, job, refusal, "nothing: it had ended, or was put aside, before")
        return set()
    for kept, form in _forms(connection, job, refusal):
        try:
            accepted = plain.settle(connection, worker, [form], patience_ms=patience_ms)
        except Exception as error:
            if not is_refusal(error):
                raise
            continue
        if accepted:
            _say(worker, job, refusal, kept)
        return accepted
    _say(worker, job, refusal, "nothing: it stays leased to its worker")
    return set()


def _forms(
    connection: psycopg.Connection[Any], job: Settlement, refusal: Exception
) -> Iterator[tuple[str, Settlement]]:
    """Yield what may stand in for an outcome, and how that is called."""
    if isinstance(refusal, psycopg.IntegrityError):
        yield "the outcome, as a later attempt", job
    safe = _safe(job, nodes.clock_us(connection))
    said = one_line(refusal)
    yield "a stand-in", safe._replace(payload=_stand_in(job, said))
    yield "the end of the attempt, and nothing else", safe
    if job.state != JobState.Scheduled:
        yield "nothing: it runs again", safe._replace(state=JobState.Scheduled, delay_us=AGAIN_US)


def _safe(job: Settlement, now_us: int) -> Settlement:
    """Return the same end of an attempt with figures that are beyond doubt."""
    started_us = job.started_us if job.started_us < 0 else now_us  # below zero: not started
    delay_us = job.delay_us if job.delay_us <= DELAY_SECONDS_MAX * 1_000_000 else AGAIN_US
    return Settlement(job.job_id, job.state, started_us, now_us, 0, 0, delay_us, None)


def _stand_in(job: Settlement, said: str) -> bytes | None:
    """Return what is stored in the place of a result or an error."""
    if job.state == JobState.Scheduled:
        return None
    if job.state == JobState.Completed:
        return msgspec.json.encode({RESULT_NOT_STORED: f"the server refused it: {said}"})
    return error_entry(f"the server refused to store this attempt's error: {said}", "OutcomeRefused", _attempt(job))


def _attempt(job: Settlement) -> int:
    """Return which attempt an error entry says it is of; 0 where it does not say."""
    try:
        return int(msgspec.json.decode(job.payload or b"")["attempt"])
    except Exception:  # noqa: BLE001 - the payload is what was refused: it may be anything
        return 0


def _say(worker: int, job: Settlement, refusal: Exception, kept: str) -> None:
    events.emit(events.SETTLE_STAND_IN, worker=worker, job=job.job_id, kept=kept, error=one_line(refusal))
