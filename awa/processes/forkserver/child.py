"""A worker's life from the fork to the exit code."""

from __future__ import annotations

import contextlib
import os
import random
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from awa.processes.board.slot import Slot
from awa.processes.exit_codes import ExitCode
from awa.processes.parent_death import die_with_parent, volunteer_for_oom
from awa.processes.wakeups import Wakes, WorkerWakes

ChildMain = Callable[[Slot, dict[str, Any], WorkerWakes], int]


def live(
    forget: Callable[[], None],
    entry: ChildMain,
    take: Callable[[], Slot],
    message: dict[str, Any],
    wakes: Wakes,
    parent: int,
) -> NoReturn:
    """Be a worker: `forget` the parent's affairs, `take` a slot, run `entry` and exit with the code it returns.

    Never returns, whatever `entry` raises: a copy of the forkserver's loop must not run on in a child.
    """
    code: int = ExitCode.CRASHED
    try:
        forget()
        die_with_parent(parent)
        volunteer_for_oom()
        _reseed()
        slot = take()
        slot.claim_slot()
        code = int(entry(slot, message, wakes.keep_only(slot.index)))
    except BaseException:  # noqa: BLE001 - SystemExit too: what a handler raises must not pass for the worker's code
        traceback.print_exc()
    finally:
        flush_output()
        os._exit(code)


def _reseed() -> None:
    """Give this worker random numbers of its own. What the application seeded before the fork is the same in all."""
    random.seed()
    numpy_random: Any = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def flush_output() -> None:
    """Write out what standard output and error still hold."""
    for stream in (sys.stdout, sys.stderr):
        # Closed by a handler, or unread: there is no receiver left.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
