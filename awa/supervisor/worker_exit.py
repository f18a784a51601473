"""How a worker ended: in words, for the log, and as what is stored with the job it died in."""

from __future__ import annotations

from signal import Signals
from typing import Any, Final, NamedTuple

from awa.engine.rescue import RETRIED_AT_ONCE, Death
from awa.processes.board.checks import BoardDamage
from awa.processes.board.slot import Flag, Interrupt, Running
from awa.processes.clock import ServerClock
from awa.processes.exit_codes import ExitCode
from awa.processes.forkserver import Exited

EXPECTED: Final = frozenset({ExitCode.OK, ExitCode.RECYCLED, ExitCode.FENCED})
"""Exit codes of workers that ended in order."""
OUT_OF_MEMORY: Final = "OutOfMemory"
BOARD_DAMAGED: Final = "BoardDamaged"
WHATEVER_ATTEMPT: Final = 1_000
"""The job is not to blame: it is retried without delay, whichever attempt it was."""


class Doom(NamedTuple):
    """Why a worker was killed, if that is known: mostly because we have done it."""

    why: str
    """In words."""
    type: str = "WorkerDied"
    """What its job's error is called."""
    stack: str = ""
    """Where it was, if it could still say."""
    attempts_at_once: int = RETRIED_AT_ONCE
    """A job killed in one of its first so many attempts is retried without delay."""
    may_retry: bool = True


def out_of_memory(event: Exited) -> Doom:
    """Return why a worker ended that the kernel has killed."""
    return Doom(f"out of memory (peak {_size(event.max_rss_kb)})", OUT_OF_MEMORY)


def interrupted(running: Running, why: Interrupt) -> Doom:
    """Return why a worker ended that the signal for its handler has killed."""
    what, kind = ("out of time", "JobTimeout") if why is Interrupt.TIMEOUT else ("cancelled", "JobCancelled")
    may_retry = not running.flags & Flag.FAILS_ON_TIMEOUT
    return Doom(f"{what}, and its handler has reset the signal that tells it so", kind, "", 0, may_retry)


def is_expected(event: Exited, running: Running | None) -> bool:
    """Whether a worker ended in order: not in the middle of a job, whatever its code."""
    return running is None and event.code in EXPECTED


def describe(event: Exited, running: Running | None, doom: Doom | None = None) -> str:
    """Return how a worker ended, in words; `doom` is why it was killed, if that is known."""
    if event.signal is not None:
        how = f"killed by {_name(event.signal)}"
        return f"{how}: {doom.why}" if doom else how
    if running is None and event.code in tuple(ExitCode):
        return ExitCode(event.code).name.lower()
    return f"exited with code {event.code}"  # a handler's os._exit may use one of our codes: it means nothing then


def damaged(damage: BoardDamage) -> Doom:
    """Return why a worker is ended whose slot of the board is damaged. The job that ran is the suspect."""
    return Doom(f"it has written nonsense on the board: {damage}", BOARD_DAMAGED, attempts_at_once=0)


def of(
    event: Exited, running: Running | None, clock: ServerClock, doom: Doom | None = None, *, is_known: bool = True
) -> Death:
    """Return what to store with the job the worker died in. `is_known`: whether the board can be believed in that."""
    started_us = None
    if running is not None:
        started_us = running.started_us + clock.ahead_us
    return Death(
        f"worker {describe(event, running, doom)}",
        (running.job_id if running else 0) if is_known else None,
        started_us,
        _cpu_us(event, running),
        event.max_rss_kb or None,
        _details(event, doom),
        doom.attempts_at_once if doom else RETRIED_AT_ONCE,
        doom.may_retry if doom else True,
        (running is not None or not is_known) and _is_of_the_job(event, doom),
    )


def _is_of_the_job(event: Exited, doom: Doom | None) -> bool:
    """Whether it died of what it did. One whose end nobody has seen, with its forkserver, did not."""
    return event.max_rss_kb > 0 and (doom is None or doom.type in (OUT_OF_MEMORY, BOARD_DAMAGED))


def _cpu_us(event: Exited, running: Running | None) -> int | None:
    """Return the processor time of the job it died in, microseconds; None when nobody has learnt what it used."""
    used_us = round((event.user_s + event.system_s) * 1e6)
    return max(0, used_us - running.used_us) if running is not None and used_us else None


def _details(event: Exited, doom: Doom | None) -> dict[str, Any]:
    details = {
        "type": doom.type if doom else "WorkerDied",
        "signal": event.signal,
        "exit_code": event.code,
        "pid": event.pid,
        "stack": (doom.stack if doom else "") or None,
    }
    return {name: value for name, value in details.items() if value is not None}


def _size(kb: int) -> str:
    return f"{kb / 2**20:.1f} GiB" if kb >= 2**20 else f"{kb / 2**10:.0f} MiB"


def _name(number: int) -> str:
    try:
        return Signals(number).name
    except ValueError:
        return f"signal {number}"  # a real-time signal
