"""Locks for starting and for using the server: two files, locked with flock.

A lock of this kind belongs to an open file: the kernel lets go of it when the process ends, however it ends. So nothing
has to be cleaned up after a crash, and no process number is ever compared.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from awa.errors import EmbeddedError

LOCK_POLL_S = 0.02


@contextmanager
def exclusive(path: Path, timeout_seconds: float) -> Iterator[None]:
    """Hold a lock file alone. The file has to exist.

    Raises:
        FileNotFoundError: there is no such file (the one who made it has taken it away again).
        EmbeddedError: another process has held it for all of the time given.
    """
    deadline = time.monotonic() + timeout_seconds
    while (fd := _attempt(path)) is None:
        if time.monotonic() > deadline:
            raise EmbeddedError(
                f"Another process has been starting or stopping the server in {path.parent} for "
                f"{timeout_seconds:.0f} s (it holds {path}). Wait for it, or end it."
            )
        time.sleep(LOCK_POLL_S)
    try:
        yield
    finally:
        os.close(fd)


def _attempt(path: Path) -> int | None:
    """The locked file, or None when another process holds it, or it was replaced while we took it."""
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held, named = os.fstat(fd), os.stat(path)
        if (held.st_dev, held.st_ino) == (named.st_dev, named.st_ino):
            return fd
    except BlockingIOError:
        pass  # held by another process: the caller asks again
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return None


class Users:
    """This process among the users of a server: a shared lock on one file. To be used under the start lock."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
        self._pid = os.getpid()

    def alone(self) -> bool:
        """Return whether no other process uses the server. Afterwards this object is no user until it joins."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def join(self) -> None:
        """Be a user from now on."""
        fcntl.flock(self._fd, fcntl.LOCK_SH)

    def close(self) -> None:
        """Be no user any more.

        Closing is not unlocking when a forked child has the file open as well: the process that joined says so
        explicitly, and a child, whose parent goes on using the server, only closes.
        """
        if self._pid == os.getpid():
            fcntl.flock(self._fd, fcntl.LOCK_UN)
        os.close(self._fd)
