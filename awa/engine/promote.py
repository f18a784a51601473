"""Promote: bring back deferred jobs that are due, into ready batches."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import psycopg

from awa.database.pipeline import execute_prepared
from awa.database.statements import statement
from awa.engine.claim import FROM_THE_START
from awa.engine.seal import BATCH_JOBS_MAX
from awa.telemetry import events

PROMOTE_JOBS_MAX: Final = 4096

_ANY = statement("promote/any")
_PROMOTE = statement("promote/promote")


class Promoted(NamedTuple):
    """The result of one step of promotion."""

    jobs: int
    last: str
    """Start of the next step; see `promote`."""
    more: bool


def promote(
    connection: psycopg.Connection[Any],
    start: str = FROM_THE_START,
    *,
    jobs_max: int = PROMOTE_JOBS_MAX,
    batch_max: int = BATCH_JOBS_MAX,
) -> Promoted:
    """Promote at most `jobs_max` jobs that became due at or after `start`.

    `start` spares the index entries of jobs promoted before; pass `FROM_THE_START` about once a second, for jobs put
    aside meanwhile with an earlier time.
    """
    found = execute_prepared(connection, _ANY, {"start": start}).fetchone()
    if found is None or not found[0]:
        return Promoted(0, start, False)
    row = execute_prepared(
        connection, _PROMOTE, {"start": start, "jobs_max": jobs_max, "batch_max": batch_max}
    ).fetchone()
    assert row is not None
    jobs, last, batches = row
    if jobs:
        events.emit(events.PROMOTE_JOBS, jobs=jobs, batches=batches)
    return Promoted(jobs, last or start, jobs >= jobs_max)
