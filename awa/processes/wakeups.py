"""Wake-ups between a supervisor and its workers: one channel per slot, and one from all workers to the supervisor; and
a pipe per slot for the stack of a worker that has to be killed.

A channel carries no message, only "look again": ringing it twice before the other side looks is ringing it once. What
there is to see stands on the board or in the database. Channels are made before the forkserver, which inherits them
all; a worker keeps its own and the supervisor's, and closes the others.

A handler can close and change every descriptor of its worker. So a worker opens what it keeps once more: whether a
descriptor blocks belongs to the open file, which supervisor, forkserver and workers would share otherwise. It moves the
new ones up, away from the numbers that the handler's next files get, and notes which pipes they lead to
(`awa.database.prepared`).
"""

from __future__ import annotations

import contextlib
import math
import os
import select
from collections.abc import Iterable
from typing import Protocol

from awa.processes.own import OwnFiles, open_again
from awa.processes.stacks import StackPipe

_DRAIN_BYTES = 4096


class HasFileno(Protocol):
    """Anything a poll can wait for."""

    def fileno(self) -> int: ...


class Channel:
    """A bell: a pipe. Its two ends are open files of their own, and unlike an eventfd it can be told from others."""

    __slots__ = ("reader", "writer")

    def __init__(self, reader: int, writer: int) -> None:
        """Take over two descriptors, which must be non-blocking."""
        self.reader = reader
        self.writer = writer

    @classmethod
    def create(cls) -> Channel:
        """Make a channel whose descriptors are closed on exec. Raises OSError when there are no descriptors left."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        return cls(reader, writer)

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when the channel is rung."""
        return self.reader

    def ring(self) -> None:
        """Wake the waiting process, now or as soon as it waits. Never blocks."""
        _ring(self.writer)

    def drain(self) -> bool:
        """Stop the ringing. Returns whether there was any."""
        rung = False
        with contextlib.suppress(BlockingIOError):  # silent again
            while piece := os.read(self.reader, _DRAIN_BYTES):
                rung = True
                if len(piece) < _DRAIN_BYTES:
                    break  # that was all
        return rung

    def wait(self, timeout_s: float | None, also: Iterable[HasFileno] = ()) -> bool:
        """Wait until the channel is rung or one of `also` is readable; stop the ringing.

        `timeout_s` None means for ever. Returns False when the time ran out.
        """
        poll = select.poll()
        poll.register(self.reader, select.POLLIN)
        for other in also:
            poll.register(other.fileno(), select.POLLIN)
        # Rounded up: rounding down would turn the last fraction of a millisecond into a busy loop.
        ready = poll.poll(None if timeout_s is None else math.ceil(max(timeout_s, 0.0) * 1000))
        if any(fd == self.reader for fd, _ in ready):
            self.drain()
        return bool(ready)

    def fds(self) -> tuple[int, int]:
        """Return the descriptors this channel consists of."""
        return (self.reader, self.writer)

    def close(self) -> None:
        """Close the descriptors."""
        for fd in self.fds():
            os.close(fd)


class WorkerWakes:
    """A worker's ends: its own channel and the way to its supervisor."""

    __slots__ = ("_own", "_supervisor_fd", "files", "stack_fd")

    def __init__(self, own: Channel, supervisor_fd: int, stack_fd: int) -> None:
        """`supervisor_fd` is the end of the supervisor's channel to write to."""
        self._own = own
        self._supervisor_fd = supervisor_fd
        self.stack_fd = stack_fd
        """The descriptor to write the stack to, when asked."""
        self.files = OwnFiles((*own.fds(), supervisor_fd, stack_fd))
        """True if all of these still are what they were."""

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when this worker is woken."""
        return self._own.fileno()

    def wait(self, timeout_s: float | None, also: Iterable[HasFileno] = ()) -> bool:
        """Wait to be woken, or for one of `also` to be readable. Returns False when `timeout_s` ran out."""
        return self._own.wait(timeout_s, also)

    def wake_self(self) -> None:
        """Make the next `wait` return at once. Safe in a signal handler."""
        self._own.ring()

    def wake_supervisor(self) -> None:
        """Tell the supervisor to look at the board: idle, or more work than this worker can take."""
        _ring(self._supervisor_fd)

    def close(self) -> None:
        """Close the descriptors."""
        self._own.close()
        for fd in (self._supervisor_fd, self.stack_fd):
            os.close(fd)


class Wakes:
    """All channels of one supervisor."""

    def __init__(self, workers: Iterable[Channel], supervisor: Channel, stacks: Iterable[StackPipe]) -> None:
        self.workers = tuple(workers)
        self.supervisor = supervisor
        self.stacks = tuple(stacks)

    @classmethod
    def create(cls, slots: int) -> Wakes:
        """Make the channels for `slots` workers and their supervisor."""
        return cls(
            [Channel.create() for _ in range(slots)], Channel.create(), [StackPipe.create() for _ in range(slots)]
        )

    @classmethod
    def inherit(cls, ends: list[list[int]]) -> Wakes:
        """Find, in a new program, the channels another described with `ends`."""
        slots = len(ends) // 2
        channels = [Channel(reader, writer) for reader, writer in ends[: slots + 1]]
        stacks = [StackPipe(reader, writer) for reader, writer in ends[slots + 1 :]]
        found = cls(channels[:-1], channels[-1], stacks)
        for fd in found.fds():
            os.set_inheritable(fd, False)
        return found

    def ends(self) -> list[list[int]]:
        """Return the descriptors by which `inherit` finds these channels."""
        return [[end.reader, end.writer] for end in self._ends()]

    def fds(self) -> tuple[int, ...]:
        """Return every descriptor, for `pass_fds`."""
        return tuple(fd for end in self._ends() for fd in end.fds())

    def wake(self, slot: int) -> None:
        """Wake the worker in `slot`."""
        self.workers[slot].ring()

    def keep_only(self, slot: int) -> WorkerWakes:
        """Become the worker in `slot`: open once more what it needs, and close everything."""
        own, stack = self.workers[slot], self.stacks[slot]
        kept = WorkerWakes(
            Channel(open_again(own.reader, os.O_RDONLY), open_again(own.writer, os.O_WRONLY)),
            open_again(self.supervisor.writer, os.O_WRONLY),
            open_again(stack.writer, os.O_WRONLY),
        )
        self.close()
        return kept

    def close(self) -> None:
        """Close everything."""
        for end in self._ends():
            end.close()

    def _ends(self) -> tuple[Channel | StackPipe, ...]:
        return (*self.workers, self.supervisor, *self.stacks)


def _ring(fd: int) -> None:
    with contextlib.suppress(BlockingIOError):  # full: it is ringing already
        os.write(fd, b"!")
