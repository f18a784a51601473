"""Interrupts: an exception raised in the handler, in the main thread, when the supervisor asks for it.

It leaves word on the board (why, and in which run) and sends SIGUSR2. Two handlers hear it. `faulthandler` writes the
stack to the supervisor's pipe, at once and without the GIL; then Python runs `handle_signal` between two byte codes of
the main thread. A system call that blocks is interrupted for that; an extension module that never comes back is not,
which is why the supervisor kills the worker a little later.

Only the run that was meant is hit: `handle_signal` compares the number of the run, and raises only while a handler
runs.

An `async def` handler shares the main thread with its event loop, which logs what is raised in the midst of its own
work, or in another task, and goes on: the handler would wait for ever. So unless the handler's own code is what runs,
its task is cancelled instead; `taken` then says what for.

psycopg, waiting for an answer, cancels the query and makes the connection usable again when it is interrupted, but for
nothing less than KeyboardInterrupt. So what is raised there is one as well.
"""

from __future__ import annotations

import asyncio
import faulthandler
import signal
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Final

import psycopg

from awa.errors import JobCancelled, JobTimeout
from awa.processes.board.slot import Interrupt, Slot
from awa.processes.clock import monotonic_us

SIGNAL: Final = signal.SIGUSR2
HERE: Final = __file__
_LOOP: Final = (str(Path(asyncio.__file__).parent), "_weakrefset.py")
"""Beginnings and ends of the files of code that the event loop runs for itself, also while a task is current."""
_DRIVER: Final = str(Path(psycopg.__file__).parent)


RAISE_INTERVAL_S: Final = 0.05


class _TimeoutInQuery(JobTimeout, KeyboardInterrupt):
    """A JobTimeout for psycopg."""


class _CancelledInQuery(JobCancelled, KeyboardInterrupt):
    """A JobCancelled for psycopg."""


for _public, _raised in ((JobTimeout, _TimeoutInQuery), (JobCancelled, _CancelledInQuery)):
    _raised.__name__, _raised.__qualname__, _raised.__module__ = (
        _public.__name__,
        _public.__qualname__,
        _public.__module__,
    )


class Interrupts:
    """The exceptions that may be raised in one worker's handlers. `is_open` while a handler runs."""

    def __init__(self, slot: Slot) -> None:
        self.is_open = False
        self._stops_timer = False
        self._slot = slot
        self._raised_in = 0
        self._task: asyncio.Task[Any] | None = None
        self._sent: JobTimeout | JobCancelled | None = None

    def listen(self, stack_fd: int) -> None:
        """Take the signal from now on; the stack goes to `stack_fd`. For the main thread."""
        signal.signal(SIGNAL, self.handle_signal)
        faulthandler.register(SIGNAL, file=stack_fd, all_threads=True, chain=True)

    def take_timer(self) -> None:
        """Stop, from now on, the timer that a handler leaves behind, unless one runs already, for the application."""
        self._stops_timer = signal.getitimer(signal.ITIMER_REAL)[0] == 0

    def stop_timer(self) -> None:
        """Stop what `signal.alarm` or `setitimer` has begun: it would go off in the next job, and end the worker."""
        if self._stops_timer:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def handle_signal(self, number: int, frame: FrameType | None) -> None:
        """Raise in the handler what the supervisor asks for. A signal handler."""
        slot = self._slot
        why = slot.interrupt()
        if not self.is_open or why is Interrupt.NONE or self._raised_in == slot.turn:
            return
        self._raised_in = slot.turn
        error = self._error(why, frame is not None and frame.f_code.co_filename.startswith(_DRIVER))
        task = self._task
        if task is None or asyncio._get_running_loop() is None:
            raise error
        current, is_handler = asyncio.current_task(), frame is not None and _is_handler(frame)
        if current is not task or not is_handler:
            self._sent = self._error(why, in_query=False)
            task.get_loop().call_soon_threadsafe(task.cancel)
        if current is not None and is_handler:
            raise error

    def heed_late(self) -> None:
        """Raise what the supervisor has asked for in this run while nothing could be raised. For the main thread."""
        self.is_open = True
        self.handle_signal(SIGNAL, None)

    def aim_at(self, task: asyncio.Task[Any] | None) -> None:
        """Set the task that is the handler, on the event loop of this thread; None: there is no task any more."""
        self._task, self._sent = task, None

    def taken(self) -> JobTimeout | JobCancelled | None:
        """Return what the handler's task was cancelled for, if it was."""
        return self._sent

    def _error(self, why: Interrupt, in_query: bool) -> JobTimeout | JobCancelled:
        slot = self._slot
        if why is Interrupt.CANCEL:
            cancelled = _CancelledInQuery if in_query else JobCancelled
            return cancelled(f"job {slot.job_id} has been cancelled")
        timeout = _TimeoutInQuery if in_query else JobTimeout
        return timeout(f"job {slot.job_id} has run for longer than the {slot.timeout_us / 1e6:g} s it may take")


def _is_handler(frame: FrameType) -> bool:
    """Return whether this is code that an exception can be raised in and reaches the task."""
    directory, file = _LOOP
    name = frame.f_code.co_filename
    return not name.startswith(directory) and not name.endswith(file)


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
            self._previous = signal.signal(SIGNAL, self._interrupts.handle_signal)
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
        while not self._done.wait(RAISE_INTERVAL_S):
            running = self._slot.running()
            if running is None or running.turn == told or not 0 < running.deadline_us <= monotonic_us():
                continue
            told = running.turn
            self._slot.raise_in(running, Interrupt.TIMEOUT)
            signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)
