"""A pipe per worker, through which it says where it is stuck.

`faulthandler` writes the Python stack of every thread to a descriptor from inside its signal handler: without the GIL,
whatever the worker does at the time, also inside an extension module that never gives the interpreter a chance. The
pipe never blocks: what does not fit into it (64 KiB on Linux) is lost.
"""

from __future__ import annotations

import contextlib
import os
from typing import Final

STACK_BYTES_MAX: Final = 8 * 1024
"""Kept of a dump: some hundred frames."""
_READ_BYTES = 65536


class StackPipe:
    """The pipe of one slot. The supervisor reads, the worker in the slot writes."""

    __slots__ = ("_text", "reader", "writer")

    def __init__(self, reader: int, writer: int) -> None:
        """Take over two descriptors, which must be non-blocking."""
        self.reader = reader
        self.writer = writer
        self._text = b""

    @classmethod
    def create(cls) -> StackPipe:
        """Make a pipe that is closed on exec. Raises OSError when there are no descriptors left."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        return cls(reader, writer)

    def clear(self) -> None:
        """Forget what was written so far."""
        self.look()
        self._text = b""

    def look(self) -> bool:
        """Take what has arrived, as much as the pipe holds at once; return whether there was anything new."""
        piece = b""
        with contextlib.suppress(BlockingIOError):
            piece = os.read(self.reader, _READ_BYTES)
        self._text = (self._text + piece)[:STACK_BYTES_MAX]
        return bool(piece)

    @property
    def text(self) -> str:
        """Return the text written since `clear`: the thread that the signal reached comes first."""
        return self._text.decode(errors="replace").strip()

    def fds(self) -> tuple[int, int]:
        """Return both descriptors."""
        return (self.reader, self.writer)

    def close(self) -> None:
        """Close both ends."""
        os.close(self.reader)
        os.close(self.writer)
