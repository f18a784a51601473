"""Measures and limits the memory of this process.

A cap is a soft resource limit of the whole process, put on while one job runs. `RLIMIT_DATA` is what Linux offers:
since 4.7 it counts every private writable mapping, so also what `malloc` takes from `mmap`, which is where the large
allocations of Python and numpy come from. It counts what was asked for, touched or not. Whether a system keeps to it
cannot be told from its name (a boot option turns it off, sandboxes leave it out), so that is tried out once.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import resource
import sys
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple

from awa.processes.own import DescriptorsLost, OwnFiles, move_up

_STATM: Final = Path("/proc/self/statm")
_CLEAR_REFS: Final = "/proc/self/clear_refs"
_RESET_PEAK: Final = b"5"
_PAGE_BYTES: Final = resource.getpagesize()
_MAXRSS_UNIT: Final = 1024 if sys.platform == "darwin" else 1
"""Linux counts in KiB, macOS in bytes."""
_TRIAL_BYTES: Final = 64 << 20


class _Limit(NamedTuple):
    """A resource limit, and the field of `/proc/self/statm` that says how much of it is used, in pages."""

    resource: int
    field: int


_LIMITS: Final = (_Limit(resource.RLIMIT_DATA, 5), _Limit(resource.RLIMIT_AS, 0))
"""In order of preference: address space that is only reserved, as threads and sanitizers do, does no harm."""


def resident_kb() -> int:
    """Return the resident memory in KiB; where only its peak can be had (macOS), that."""
    try:
        return _pages(1) * _PAGE_BYTES // 1024
    except OSError:
        return peak_kb(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def peak_kb(maxrss: int) -> int:
    """Return the peak resident memory in KiB, from what `getrusage` calls `ru_maxrss`."""
    return maxrss // _MAXRSS_UNIT


class PeakReset:
    """Sets the peak of this process's resident memory back to what is resident now. Does nothing but on Linux, nor
    when a handler has closed its descriptor: another file may have that number by now."""

    def __init__(self) -> None:
        self._fd: int | None = None
        with contextlib.suppress(OSError):  # not Linux, or a /proc that may not be written to
            self._fd = move_up(os.open(_CLEAR_REFS, os.O_WRONLY))
            self._file = OwnFiles((self._fd,))

    def __call__(self) -> None:
        if self._fd is not None:
            with contextlib.suppress(OSError, DescriptorsLost):
                self._file.check()
                os.write(self._fd, _RESET_PEAK)


def can_cap() -> bool:
    """Return whether this system keeps to a cap."""
    return _limit() is not None


class MemoryLimit:
    """While entered, this process may take only `limit_mb` MiB of private memory on top of what it has.

    What asks for more gets a MemoryError, or a null pointer if it is C. Nothing happens where `can_cap` is false.
    """

    def __init__(self, limit_mb: int) -> None:
        self._limit_mb = limit_mb

    def __enter__(self) -> None:
        limit = _limit()
        if limit is not None:
            _lower(limit, self._limit_mb << 20)

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        clear_memory_limit()
        if isinstance(error, MemoryError) and not error.args and can_cap():
            error.args = (f"the job needs more than the {self._limit_mb} MiB that memory_limit_mb of its task allows",)


_lifted: tuple[int, int] | None = None
"""The limits that are to be put back; None: no cap is on."""


def clear_memory_limit() -> None:
    """Take the cap off. Harmless when none is on: an exception that came in between may have kept `MemoryLimit` from
    it."""
    global _lifted
    limit = _limit() if _lifted is not None else None
    if limit is not None and _lifted is not None:
        resource.setrlimit(limit.resource, _lifted)
        _lifted = None


def _lower(limit: _Limit, more_bytes: int) -> None:
    """Let this process have `more_bytes` on top of what it has, unless its limit is lower than that anyway."""
    global _lifted
    soft, hard = _lifted or resource.getrlimit(limit.resource)
    most = _pages(limit.field) * _PAGE_BYTES + more_bytes
    _lifted = (soft, hard)
    resource.setrlimit(limit.resource, (min([most, *(each for each in (soft, hard) if each >= 0)]), hard))


@cache
def _limit() -> _Limit | None:
    """Return the limit that this system keeps to, None without one."""
    return next((limit for limit in _LIMITS if _is_kept(limit)), None)


def _is_kept(limit: _Limit) -> bool:
    """Return whether asking for more than the limit is refused."""
    limits = resource.getrlimit(limit.resource)
    try:
        most = _pages(limit.field) * _PAGE_BYTES + _TRIAL_BYTES // 4  # the interpreter itself needs a little
        resource.setrlimit(limit.resource, (most, limits[1]))
    except (OSError, ValueError):  # no /proc, or a hard limit below that
        return False
    try:
        mmap.mmap(-1, _TRIAL_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError:
        return True
    finally:
        resource.setrlimit(limit.resource, limits)
    return False


def _pages(field: int) -> int:
    return int(_STATM.read_bytes().split()[field])
