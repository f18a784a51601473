"""Timer: time limits for jobs that run in the calling process, where no supervisor watches the board.

It raises `JobTimeout` in the handler, as a supervisor would have it raised; it kills nobody, for the process is the
caller's. Python delivers signals to the main thread only, so a `work()` called in another thread has no time limits.
"""

from __future__ import annotations

import signal
import threading
from types import TracebackType
from typing import Any, Final

from awa.processes.clock import monotonic_us
from awa.processes.slot import Interrupt, Slot
from awa.worker.interrupts import SIGNAL, Interrupts

LOOK_S: Final = 0.05


class Timer:
    """Watches one slot from a thread of its own, for as long as the block lasts."""

    def __init__(self, slot: Slot, interrupts: Interrupts) -> None:
        self._slot = slot
        self._interrupts = interrupts
        self._is_main = threading.current_thread() is threading.main_thread()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="awa-timer", daemon=True)
        self._previous: Any = None

    def __enter__(self) -> None:
        if self._is_main:
            self._previous = signal.signal(SIGNAL, self._interrupts.heed)
            self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_main:
            self._done.set()
            self._thread.join()
            signal.signal(SIGNAL, self._previous or signal.SIG_DFL)

    def _watch(self) -> None:
        told = 0
        while not self._done.wait(LOOK_S):
            running = self._slot.running()
            if running is None or running.turn == told or not 0 < running.deadline_us <= monotonic_us():
                continue
            told = running.turn
            self._slot.raise_in(running, Interrupt.TIMEOUT)
            signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)
