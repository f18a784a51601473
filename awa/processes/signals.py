"""Signals as a queue: a handler writes the number down and wakes the main loop, which acts, logs and decides.

The interpreter does the writing itself (`signal.set_wakeup_fd`), the moment the signal arrives and whatever Python code
is running; the handlers are there only so that the default action is not taken.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from signal import Signals
from types import FrameType
from typing import Any

_READ_BYTES = 4096


class SignalQueue:
    """The signals a process has received and not yet dealt with. For the main thread; one per process."""

    def __init__(self, signals: Iterable[Signals]) -> None:
        """Start to catch `signals`. Raises ValueError outside the main thread."""
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self._previous_fd = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._previous: dict[Signals, Any] = {each: signal.signal(each, _note) for each in signals}

    def fileno(self) -> int:
        """Return a descriptor that is readable while there are signals to take."""
        return self._reader

    def take(self) -> list[Signals]:
        """Return the signals that arrived since the last call, in order. Never blocks."""
        taken: list[Signals] = []
        while True:
            try:
                numbers = os.read(self._reader, _READ_BYTES)
            except BlockingIOError:
                return taken
            # Signals for which other code has a Python handler are announced here too; they are left to it.
            taken.extend(Signals(number) for number in numbers if number in self._previous)

    def close(self) -> None:
        """Put back the handlers that were there before."""
        for each, handler in self._previous.items():
            signal.signal(each, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._previous_fd)
        self._close_pipe()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's queue and take every signal's default action from now on."""
        for each in self._previous:
            signal.signal(each, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        self._close_pipe()

    def _close_pipe(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


def _note(number: int, frame: FrameType | None) -> None:
    """Do nothing: the number is in the queue already."""
