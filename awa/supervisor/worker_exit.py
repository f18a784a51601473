"""The end of a worker: in words for the log, and as the error stored with the job it died in."""

from __future__ import annotations

from signal import Signals
from typing import Any, Final, NamedTuple

from awa.engine.rescue import RETRIED_AT_ONCE, WorkerExit
from awa.processes.board.checks import BoardDamage
from awa.processes.board.slot import BoardEntry, Flag, Interrupt
from awa.processes.clock import ServerClock
from awa.processes.exit_codes import ExitCode
from awa.processes.forkserver import Exited

EXPECTED: Final = frozenset({ExitCode.OK, ExitCode.RECYCLED, ExitCode.FENCED})
"""Exit codes of workers that ended in order."""
OUT_OF_MEMORY: Final = "OutOfMemory"
BOARD_DAMAGED: Final = "BoardDamaged"
WHATEVER_ATTEMPT: Final = 1_000
"""The job is not to blame: it is retried without delay, whichever attempt it was."""


class KillReason(NamedTuple):
    """Why a worker was killed, if that is known: mostly because we have done it."""

    why: str
    """In words."""
    type: str = "WorkerDied"
    """The type of its job's error."""
    stack: str = ""
    """Its last stack, if it could still deliver one."""
    attempts_at_once: int = RETRIED_AT_ONCE
    """A job killed in one of its first so many attempts is retried without delay."""
    may_retry: bool = True


def out_of_memory(event: Exited) -> KillReason:
    """Return why a worker ended that the kernel has killed."""
    return KillReason(f"out of memory (peak {_size(event.max_rss_kb)})", OUT_OF_MEMORY)


def interrupted(running: BoardEntry, why: Interrupt) -> KillReason:
    """Return why a worker ended that the signal for its handler has killed."""
    what, kind = ("out of time", "JobTimeout") if why is Interrupt.TIMEOUT else ("cancelled", "JobCancelled")
    may_retry = not running.flags & Flag.FAILS_ON_TIMEOUT
    return KillReason(f"{what}, and its handler has reset the signal that tells it so", kind, "", 0, may_retry)


def is_expected(event: Exited, running: BoardEntry | None) -> bool:
    """Return whether a worker ended in order: not in the middle of a job, whatever its code."""
    return running is None and event.code in EXPECTED


def describe(event: Exited, running: BoardEntry | None, kill_reason: KillReason | None = None) -> str:
    """Return how a worker ended, in words; `kill_reason` is why it was killed, if that is known."""
    if event.signal is not None:
        how = f"killed by {_name(event.signal)}"
        return f"{how}: {kill_reason.why}" if kill_reason else how
    if running is None and event.code in tuple(ExitCode):
        return ExitCode(event.code).name.lower()
    return f"exited with code {event.code}"  # a handler's os._exit may use one of our codes: it means nothing then


def damaged(damage: BoardDamage) -> KillReason:
    """Return why a worker is ended whose slot of the board is damaged. The job that ran is the suspect."""
    return KillReason(f"it has written nonsense on the board: {damage}", BOARD_DAMAGED, attempts_at_once=0)


def of(
    event: Exited,
    running: BoardEntry | None,
    clock: ServerClock,
    kill_reason: KillReason | None = None,
    *,
    is_known: bool = True,
) -> WorkerExit:
    """Return what to store with the job the worker died in. `is_known`: whether the board can be believed in that."""
    started_us = None
    if running is not None:
        started_us = running.started_us + clock.ahead_us
    return WorkerExit(
        f"worker {describe(event, running, kill_reason)}",
        (running.job_id if running else 0) if is_known else None,
        started_us,
        _cpu_us(event, running),
        event.max_rss_kb or None,
        _details(event, kill_reason),
        kill_reason.attempts_at_once if kill_reason else RETRIED_AT_ONCE,
        kill_reason.may_retry if kill_reason else True,
        (running is not None or not is_known) and _is_of_the_job(event, kill_reason),
    )


def _is_of_the_job(event: Exited, kill_reason: KillReason | None) -> bool:
    """Return whether it died of what it did. One whose end went unseen, with its forkserver, did not."""
    return event.max_rss_kb > 0 and (kill_reason is None or kill_reason.type in (OUT_OF_MEMORY, BOARD_DAMAGED))


def _cpu_us(event: Exited, running: BoardEntry | None) -> int | None:
    """Return the processor time of the job it died in, microseconds; None when its use is unknown."""
    used_us = round((event.user_s + event.system_s) * 1e6)
    return max(0, used_us - running.used_us) if running is not None and used_us else None


def _details(event: Exited, kill_reason: KillReason | None) -> dict[str, Any]:
    details = {
        "type": kill_reason.type if kill_reason else "WorkerDied",
        "signal": event.signal,
        "exit_code": event.code,
        "pid": event.pid,
        "stack": (kill_reason.stack if kill_reason else "") or None,
    }
    return {name: value for name, value in details.items() if value is not None}


def _size(kb: int) -> str:
    return f"{kb / 2**20:.1f} GiB" if kb >= 2**20 else f"{kb / 2**10:.0f} MiB"


def _name(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"  # a real-time signal
