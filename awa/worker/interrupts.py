"""Interrupts: an exception raised in the handler, in the main thread, when the supervisor asks for it.

It leaves word on the board (why, and in which run) and sends SIGUSR2. Two handlers hear it. `faulthandler` writes the
stack to the supervisor's pipe, at once and without the GIL; then Python runs `heed` between two byte codes of the main
thread. A system call that blocks is interrupted for that; an extension module that never comes back is not, which is
why the supervisor kills the worker a little later.

Only the run that was meant is hit: `heed` compares the number of the run, and raises only while a handler runs.
"""

from __future__ import annotations

import faulthandler
import signal
from types import FrameType
from typing import Final

from awa.errors import JobCancelled, JobTimeout
from awa.processes.slot import Interrupt, Slot

SIGNAL: Final = signal.SIGUSR2
HERE: Final = __file__


class Interrupts:
    """What may be raised in the handlers of one worker. `is_open` while a handler runs."""

    def __init__(self, slot: Slot) -> None:
        self.is_open = False
        self._slot = slot
        self._raised_in = 0

    def listen(self, stack_fd: int) -> None:
        """Take the signal from now on; the stack goes to `stack_fd`. For the main thread."""
        signal.signal(SIGNAL, self.heed)
        faulthandler.register(SIGNAL, file=stack_fd, all_threads=True, chain=True)

    def heed(self, number: int, frame: FrameType | None) -> None:
        """Raise in the handler what the supervisor asks for. A signal handler."""
        slot = self._slot
        why = slot.interrupt()
        if not self.is_open or why is Interrupt.NONE or self._raised_in == slot.turn:
            return
        self._raised_in = slot.turn
        if why is Interrupt.CANCEL:
            raise JobCancelled(f"job {slot.job_id} has been cancelled")
        raise JobTimeout(f"job {slot.job_id} has run for longer than the {slot.timeout_us / 1e6:g} s it may take")
