"""How much memory this process has, and has had at most."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Final

_STATM: Final = Path("/proc/self/statm")
_PAGE_KB: Final = resource.getpagesize() // 1024
_MAXRSS_UNIT: Final = 1024 if sys.platform == "darwin" else 1
"""Linux counts in KiB, macOS in bytes."""


def resident_kb() -> int:
    """Return the resident memory in KiB; where only its peak can be had (macOS), that."""
    try:
        return int(_STATM.read_bytes().split()[1]) * _PAGE_KB
    except OSError:
        return peak_kb(resource.getrusage(resource.RUSAGE_SELF))


def peak_kb(usage: resource.struct_rusage) -> int:
    """Return the peak resident memory in KiB."""
    return usage.ru_maxrss // _MAXRSS_UNIT
