"""Exit codes by which a forkserver and its workers say why they ended."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Codes below 64 are common ground with other programs; from 64 on they are Awa's and mean the same everywhere."""

    OK = 0
    """Ended as asked."""
    BOOT_FAILED = 3
    """The application cannot be loaded. Starting again would fail the same way, so it should not be tried. Of a worker:
    what the application does at its start failed."""
    CRASHED = 70
    """An exception escaped the worker's own code; its traceback is on stderr."""
    FENCED = 71
    """The worker found that its leases had been given to others, and stopped before doing harm."""
    RECYCLED = 72
    """The worker reached its limit of jobs or memory and wants a fresh one in its place."""
    ORPHANED = 73
    """The process that started this one is gone."""
    HUNG = 74
    """A part of the supervisor has hung or died, so it has ended instead of claiming to be well."""
