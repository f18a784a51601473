"""Dying with the parent, and being the first to die when memory runs out."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

from awa.processes.exit_codes import ExitCode

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_OOM_SCORE_RISE = 500
_OOM_SCORE_MAX = 1000

_parent: int | None = None


def die_with_parent(parent: int) -> None:
    """Have this process killed when `parent`, the process (and thread) that forked it, ends.

    Linux does it itself. Elsewhere, and for a parent that was gone before we could ask, look at `parent_gone` now and
    then; when it is gone already, this exits with `ExitCode.ORPHANED`.
    """
    global _parent
    _parent = parent
    _set_parent_death_signal(signal.SIGKILL)
    if parent_gone():
        os._exit(ExitCode.ORPHANED)


def outlive_parent() -> None:
    """Take back the request to be killed, to end in order instead."""
    _set_parent_death_signal(0)


def adopt_orphans() -> None:
    """Have what this process's children start, and leave behind when they end, become children of this process.

    Linux only. As the first process of a container, or below one that reaps nothing, they would stay zombies; and what
    has left its process group would be out of reach.
    """
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def children() -> set[int]:
    """Return the process ids of this process's children. On Linux; elsewhere none is known."""
    found: set[int] = set()
    for file in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            found.update(map(int, file.read_text().split()))
    return found


def parent_gone() -> bool:
    """Return whether the parent named to `die_with_parent` has ended. One system call."""
    return _parent is not None and os.getppid() != _parent


def volunteer_for_oom() -> None:
    """Tell the kernel to kill this process, not its parents, when memory runs out. Any process may raise this score."""
    path = Path("/proc/self/oom_score_adj")
    with contextlib.suppress(OSError):  # not Linux, or a read-only /proc: a wish, not a need
        path.write_text(str(min(_OOM_SCORE_MAX, int(path.read_text()) + _OOM_SCORE_RISE)))


def _set_parent_death_signal(number: int) -> None:
    _prctl(_PR_SET_PDEATHSIG, number)


def _prctl(option: int, value: int) -> None:
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value}) failed")
