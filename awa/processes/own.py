"""A worker's own descriptors, among those that handlers open, close and put in each other's place.

A handler that closes all descriptors, as daemons do, closes these too. What it or a later handler opens then may
get their numbers: a wake-up would be written into a file of the application. So they have high numbers, which new files
do not get, and before a worker uses them it sees that they still lead where they led.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
from collections.abc import Iterable
from typing import Final, Protocol

ROOM: Final = 64
"""So far below the limit the high numbers begin …"""
HIGHEST: Final = 1024
"""… or below this, whatever the limit: the kernel keeps a table up to the highest number in use."""


class DescriptorsLost(Exception):
    """A handler has closed or replaced descriptors that its worker needs."""


class Connection(Protocol):
    """A connection, which closes its descriptor itself when it breaks."""

    @property
    def closed(self) -> bool: ...

    def fileno(self) -> int: ...


class OwnFiles:
    """Descriptors, and the files that they led to when they were given."""

    def __init__(self, fds: Iterable[int]) -> None:
        """Raises OSError for one that is not open."""
        self._files = {fd: _file(fd) for fd in fds}
        self._connection: tuple[Connection, int, tuple[int, int]] | None = None

    def note_connection(self, connection: Connection) -> None:
        """Look after the connection to the server, too: from now on, this one."""
        fd = connection.fileno()
        self._connection = connection, fd, _file(fd)

    def check(self) -> None:
        """See that each leads where it led. A system call for each. Raises DescriptorsLost."""
        for fd, file in self._files.items():
            _check(fd, file)
        if self._connection is not None:
            connection, fd, file = self._connection
            if not connection.closed:
                _check(fd, file)


def open_again(fd: int, flags: int) -> int:
    """Return another descriptor of a pipe, with a high number; it is closed on exec and does not block.

    Where the system lets a process open its descriptors again it is an open file of its own, so that no other process
    can change whether it blocks. Raises OSError without descriptors.
    """
    try:
        again = os.open(f"/proc/self/fd/{fd}", flags | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # no /proc, or the other end is closed
        again = os.dup(fd)
    return move_up(again)


def move_up(fd: int) -> int:
    """Give what `fd` leads to a high number, closed on exec, in place of the one that it has; return that."""
    with contextlib.suppress(OSError):  # all of these are taken
        high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _first_high())
        os.close(fd)
        return high
    return fd


def _first_high() -> int:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(3, (HIGHEST if limit == resource.RLIM_INFINITY else min(limit, HIGHEST)) - ROOM)


def _file(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


def _check(fd: int, file: tuple[int, int]) -> None:
    try:
        found = _file(fd)
    except OSError as error:
        raise DescriptorsLost(f"descriptor {fd} has been closed") from error
    if found != file:
        raise DescriptorsLost(f"descriptor {fd} leads to another file than before")
