"""The values that a worker may write on the board: everything else there is damage.

A handler can write to the memory of its own slot, so the supervisor believes nothing that it reads there without having
looked at it: numbers must fit where they go (a word on the board, a column, a sum of times), names must be those of the
process that was forked, and a running job must stay the one that it is. A slot that fails is the worker's end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from awa.errors import AwaError
from awa.job.attempt import Settlement
from awa.job.model import JobState

_NAMES: Final = (
    "PID WORKER_ID STATE BEAT LEASE LEASE_SIZE EXPECTED TURN POSITION JOB_ID ATTEMPT JOB_STARTED JOURNAL "
    "DEADLINE GRACE FLAGS CPU SEALED ENDED"
).split()
"""Of the cells, in their order in `slot.py`."""
_PID, _WORKER_ID, _STATE, _JOURNAL = (_NAMES.index(name) for name in ("PID", "WORKER_ID", "STATE", "JOURNAL"))
_TIMES: Final = tuple(_NAMES.index(name) for name in ("BEAT", "JOB_STARTED", "SEALED"))
_LENGTH_BITS: Final = 24
"""As in `journal.py`."""
_COUNT_MAX: Final = 1 << 38
"""Of leases and jobs of one worker: 8,000 years at one a microsecond, and it fits into a word beside a position."""
_DURATION_US_MAX: Final = 1 << 52
"""A century and some: longer than anything that can be asked for."""
_INT4_MAX: Final = (1 << 31) - 1
_MOST: Final = {
    "PID": _INT4_MAX,
    "WORKER_ID": _INT4_MAX,
    "STATE": 6,
    "LEASE": _COUNT_MAX,
    "LEASE_SIZE": (1 << _LENGTH_BITS) - 1,
    "EXPECTED": _DURATION_US_MAX,
    "TURN": _COUNT_MAX,
    "ENDED": _COUNT_MAX,
    "POSITION": (1 << _LENGTH_BITS) - 2,
    "ATTEMPT": (1 << 15) - 1,
    "JOURNAL": _COUNT_MAX + 2 << _LENGTH_BITS,
    "DEADLINE": 2 * _DURATION_US_MAX,
    "GRACE": 86_400_000_000,
    "FLAGS": 3,
    "CPU": _DURATION_US_MAX,
}
"""Of what is not here, any number that is not negative will do."""
_LIMITS: Final = tuple(_MOST.get(name, (1 << 63) - 1) for name in _NAMES)
_RUNNING: Final = ("TURN JOB_ID ATTEMPT LEASE POSITION JOB_STARTED EXPECTED DEADLINE GRACE FLAGS CPU").split()
"""The cells of `slot.Running`, in its order."""
_RUNNING_LIMITS: Final = tuple(_LIMITS[_NAMES.index(name)] for name in _RUNNING)
_STARTED, _DEADLINE = _RUNNING.index("JOB_STARTED"), _RUNNING.index("DEADLINE")
_SLACK_US: Final = 1_000_000
_OUTCOMES: Final = frozenset(
    {JobState.Completed, JobState.Retryable, JobState.Failed, JobState.Cancelled, JobState.Scheduled}
)
_NOT_STARTED_LEAST: Final = -2
"""Negative times of a start have a meaning, see `awa.worker.prepare`."""


class BoardDamage(AwaError):
    """A worker's slot holds what no worker writes. `cell` says where, `value` what."""

    def __init__(self, cell: str, value: object, why: str) -> None:
        super().__init__(f"its cell {cell} holds {value}, and {why}")
        self.cell = cell
        self.value = value


def check_cells(cells: Sequence[int], journal_bytes: int, pid: int | None, worker: int, now_us: int) -> None:
    """Check all cells of one worker. `pid` and `worker` are what it is known to be; None and 0: not yet.

    Raises BoardDamage.
    """
    for index, most in enumerate(_LIMITS):
        if not 0 <= cells[index] <= most:
            raise BoardDamage(_NAMES[index], cells[index], f"that is from 0 to {most}")
    if any(cells[len(_NAMES) :]):
        index = next(index for index in range(len(_NAMES), len(cells)) if cells[index])
        raise BoardDamage(str(index), cells[index], "nothing is kept there")
    for index in _TIMES:
        if cells[index] > now_us + _SLACK_US:
            raise BoardDamage(_NAMES[index], cells[index], f"that time has not come (it is {now_us} now)")
    if cells[_PID] and not cells[_STATE]:
        raise BoardDamage("STATE", 0, "a worker has moved in")
    if pid is not None and cells[_PID] not in (0, pid):
        raise BoardDamage("PID", cells[_PID], f"the worker is process {pid}")
    if worker and cells[_WORKER_ID] != worker:
        raise BoardDamage("WORKER_ID", cells[_WORKER_ID], f"it is worker {worker}")
    length = cells[_JOURNAL] & (1 << _LENGTH_BITS) - 1
    if length > journal_bytes:
        raise BoardDamage("JOURNAL", cells[_JOURNAL], f"a journal has {journal_bytes} bytes, not {length}")


def check_running(running: Sequence[int], now_us: int) -> None:
    """Check what was read of a running job. Raises BoardDamage."""
    for name, value, most in zip(_RUNNING, running, _RUNNING_LIMITS, strict=True):
        if not 0 <= value <= most:
            raise BoardDamage(name, value, f"that is from 0 to {most}")
    started, deadline = running[_STARTED], running[_DEADLINE]
    if started > now_us + _SLACK_US:
        raise BoardDamage("JOB_STARTED", started, f"that time has not come (it is {now_us} now)")
    if deadline and deadline < started:
        raise BoardDamage("DEADLINE", deadline, f"the job started at {started}")


def check_settlements(settlements: Iterable[Settlement]) -> None:
    """Check outcomes read from a journal. Raises BoardDamage."""
    for each in settlements:
        if each.job_id <= 0:
            raise BoardDamage("JOURNAL", f"an outcome of job {each.job_id}", "no job has that number")
        if each.state not in _OUTCOMES:
            raise BoardDamage("JOURNAL", f"state {each.state} of job {each.job_id}", "no attempt ends in that")
        numbers = (each.finished_us, each.cpu_us, each.peak_kb, each.started_us - _NOT_STARTED_LEAST, each.delay_us + 1)
        if not all(0 <= number <= _DURATION_US_MAX for number in numbers) or each.peak_kb > _INT4_MAX:
            raise BoardDamage("JOURNAL", f"{each._replace(payload=None)}", "no attempt takes that")
        if each.payload is not None and not _is_json(each.payload):
            raise BoardDamage("JOURNAL", f"an outcome of job {each.job_id}", "its result is no JSON")


def _is_json(payload: bytes) -> bool:
    try:
        msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
