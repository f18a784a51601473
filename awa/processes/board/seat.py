"""A worker's view of the board: its own page and journal to write to, and what the supervisor and others show to read.

A handler can write to every address that its process has mapped as writable, by mistake (a C extension that runs over
the end of its buffer) or on purpose. What it can reach here is its own. The forkserver maps nothing at all, or every
worker would inherit that; the worker maps its parts right after the fork and closes the board's descriptor.
"""

from __future__ import annotations

import mmap
import os

from awa.processes.board.scoreboard import Layout, read_layout
from awa.processes.board.slot import Slot


class Seats:
    """A forkserver's handle of a board: not its memory, only the way to it."""

    def __init__(self, fd: int) -> None:
        """Find the board behind an inherited `fd`. Raises BoardError when it is something else."""
        self._fd = fd
        self._layout = read_layout(fd)

    def take(self, index: int) -> Slot:
        """Map the slot `index` and let go of the board's descriptor. In a forked worker, once. Raises OSError, without
        memory."""
        slot = _map(self._fd, self._layout, index)
        _let_go(self._fd)
        return slot


def _map(fd: int, layout: Layout, index: int) -> Slot:
    worker, journal = layout.worker(index), layout.journal(index)
    own, own_journal = _writable(fd, worker), _writable(fd, journal)
    shown = _readable(fd, layout.journals_start)
    slot = Slot(index, own, shown[layout.control(index)], own_journal)
    slot.all_cells = [shown[layout.worker(other)].cast("q") for other in range(layout.slots)]
    return slot


def _writable(fd: int, part: slice) -> memoryview:
    size = part.stop - part.start
    return memoryview(mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=part.start))


def _readable(fd: int, size: int) -> memoryview:
    """Map the first `size` bytes so that not even `mprotect` makes them writable: that takes a descriptor which was
    opened for reading only."""
    try:
        only_read = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # no /proc: the mapping is read-only all the same, as long as nothing changes that
        return memoryview(mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ))
    try:
        return memoryview(mmap.mmap(only_read, size, mmap.MAP_SHARED, mmap.PROT_READ))
    finally:
        os.close(only_read)


def _let_go(fd: int) -> None:
    """Close `fd`, and make every other descriptor of the same file one of /dev/null.

    Each `mmap` keeps one of its own, with which the whole board could be mapped once more. It would close that number
    with itself, whatever it were by then: so the numbers stay taken.
    """
    board = os.fstat(fd)
    os.close(fd)
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for other in map(int, os.listdir("/dev/fd")):
            if _is(other, board):
                os.dup2(null, other, inheritable=False)
    finally:
        os.close(null)


def _is(fd: int, file: os.stat_result) -> bool:
    try:
        found = os.fstat(fd)
    except OSError:  # the directory that was just listed
        return False
    return (found.st_dev, found.st_ino) == (file.st_dev, file.st_ino)
