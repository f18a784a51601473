"""The scoreboard: memory shared between one supervisor and its workers.

It is made before the first fork and has a fixed number of slots. On Linux it is a memfd sealed against resizing (a file
cut short under a mapping would kill every process that looks at it with SIGBUS); elsewhere an unlinked temporary file.
Either way it has no name, and is gone when the last process that holds it is gone.

    header     magic, version, sizes                       read by all
    controls   the supervisor's cells, one line a slot     written by the supervisor alone
    workers    the workers' cells, one page a slot         each written by its own worker
    journals   one a slot                                  each seen and written by its own worker

Handlers are untrusted code in the worker's process. So a worker maps as writable nothing but its own page and its own
journal (`seat.py`); the supervisor maps everything, and checks whatever it reads there (`checks.py`).
"""

from __future__ import annotations

import fcntl
import mmap
import os
import tempfile
from struct import Struct
from typing import NamedTuple

from awa.errors import AwaError
from awa.processes.board.journal import CAPACITY_MAX, CAPACITY_MIN
from awa.processes.board.slot import CONTROL_BYTES, FIXED_BYTES, Slot

JOURNAL_BYTES = 256 * 1024
"""Room for 4,000 plain successes. A page of it exists only once it has been written to."""

_MAGIC = b"AWABOARD"
_VERSION = 2
_HEADER = Struct("=8sqqq")
"""Magic, version, number of slots, bytes of a journal."""
_PAGE = mmap.ALLOCATIONGRANULARITY


class BoardError(AwaError):
    """The file descriptor handed over is not a board this release can read."""


class Layout(NamedTuple):
    """The layout of a board: its slots, and the bytes of each journal."""

    slots: int
    journal_bytes: int

    @property
    def workers_start(self) -> int:
        """Offset of the first worker's page, in bytes."""
        return _PAGE + _whole_pages(self.slots * CONTROL_BYTES)

    @property
    def journals_start(self) -> int:
        """Offset of the first journal, in bytes. What stands before it is what all workers may read."""
        return self.workers_start + self.slots * _PAGE

    @property
    def total_bytes(self) -> int:
        """Size of the board."""
        return self.journals_start + self.slots * _whole_pages(self.journal_bytes)

    def control(self, index: int) -> slice:
        """Return where the supervisor's cells for a slot are."""
        start = _PAGE + index * CONTROL_BYTES
        return slice(start, start + CONTROL_BYTES)

    def worker(self, index: int) -> slice:
        """Return where the worker's cells of a slot are, at the beginning of a page of their own."""
        start = self.workers_start + index * _PAGE
        return slice(start, start + FIXED_BYTES)

    def journal(self, index: int) -> slice:
        """Return where the journal of a slot is, in whole pages of its own."""
        start = self.journals_start + index * _whole_pages(self.journal_bytes)
        return slice(start, start + self.journal_bytes)


class Board:
    """Shared memory with one slot per worker. Make it with `create`, find it again in another process with `attach`."""

    def __init__(self, fd: int, slots: int, journal_bytes: int) -> None:
        """Map a board whose header says `slots` and `journal_bytes`. Takes over `fd`."""
        self.fd = fd
        self.layout = layout = Layout(slots, journal_bytes)
        self._map = mmap.mmap(fd, layout.total_bytes)
        self._view = view = memoryview(self._map)
        self.slots = tuple(
            Slot(index, view[layout.worker(index)], view[layout.control(index)], view[layout.journal(index)])
            for index in range(slots)
        )
        all_cells = [slot.cells for slot in self.slots]
        for slot in self.slots:
            slot.all_cells = all_cells

    @classmethod
    def create(cls, slots: int, journal_bytes: int = JOURNAL_BYTES) -> Board:
        """Make a board of `slots` vacant slots. Raises ValueError for a size out of range, OSError without memory."""
        if slots < 1:
            raise ValueError(f"a board needs at least one slot, not {slots}")
        if not CAPACITY_MIN <= journal_bytes <= CAPACITY_MAX:
            raise ValueError(f"journal_bytes must be from {CAPACITY_MIN} to {CAPACITY_MAX}, not {journal_bytes}")
        fd = _anonymous_file(Layout(slots, journal_bytes).total_bytes)
        os.pwrite(fd, _HEADER.pack(_MAGIC, _VERSION, slots, journal_bytes), 0)
        board = cls(fd, slots, journal_bytes)
        for slot in board.slots:
            slot.wipe()
        return board

    @classmethod
    def attach(cls, fd: int) -> Board:
        """Map the board behind an inherited `fd`. Raises BoardError when it is something else, and leaves `fd` open."""
        return cls(fd, *read_layout(fd))

    def __len__(self) -> int:
        return len(self.slots)

    def __getitem__(self, index: int) -> Slot:
        return self.slots[index]

    def close(self) -> None:
        """Unmap the memory and close the file descriptor. Slots must not be used any more."""
        for slot in self.slots:
            slot.release()
        self._view.release()
        self._map.close()
        os.close(self.fd)


def read_layout(fd: int) -> Layout:
    """Return the layout of the board behind an inherited `fd`, which programs started from here do not inherit.

    Raises BoardError when it is something else, and leaves `fd` open.
    """
    header = _read_header(fd)
    if len(header) < _HEADER.size or header[: len(_MAGIC)] != _MAGIC:
        raise BoardError(f"file descriptor {fd} is not an Awa board; start workers through awa-supervisor only")
    _, version, slots, journal_bytes = _HEADER.unpack(header)
    if version != _VERSION:
        raise BoardError(
            f"the board behind file descriptor {fd} has version {version}, and this release of Awa reads version "
            f"{_VERSION}: supervisor and workers run different releases; restart awa-supervisor"
        )
    layout = Layout(slots, journal_bytes)
    size, expected = os.fstat(fd).st_size, layout.total_bytes
    if size != expected:
        raise BoardError(f"the board behind file descriptor {fd} has {size} bytes instead of {expected}: it is damaged")
    os.set_inheritable(fd, False)
    return layout


def _whole_pages(size: int) -> int:
    """Return `size` bytes rounded up to whole pages: what two processes write to never shares one."""
    return -(-size // _PAGE) * _PAGE


def _read_header(fd: int) -> bytes:
    try:
        return os.pread(fd, _HEADER.size, 0)
    except OSError as error:
        raise BoardError(f"file descriptor {fd} is not an Awa board: {error.strerror}") from error


def _anonymous_file(size: int) -> int:
    """Return the descriptor of a new nameless file of `size` zero bytes, closed on exec."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("awa-board", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
        return fd
    with tempfile.TemporaryFile(prefix="awa-board-") as file:
        fd = os.dup(file.fileno())
    os.ftruncate(fd, size)
    return fd
