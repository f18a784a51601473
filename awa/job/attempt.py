"""A finished attempt, as it travels from the worker to the database."""

from __future__ import annotations

from typing import NamedTuple


class Settlement(NamedTuple):
    """One finished attempt on its way into the database. Times are microseconds since the Unix epoch."""

    job_id: int
    state: int
    """A `JobState`, as in `Outcome`."""
    started_us: int
    finished_us: int
    cpu_us: int
    """Processor time the attempt used, user and system, with that of programs it has waited for, in microseconds."""
    peak_kb: int
    """Peak resident memory while the attempt ran, in KiB; where the system cannot tell, since the process began."""
    delay_us: int
    """As in `Outcome`; -1 for none."""
    payload: bytes | None
