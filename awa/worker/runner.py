"""Run one job: its arguments decoded, its handler called, what came of it as a verdict."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Sequence
from types import CoroutineType, TracebackType
from typing import Any, Final

from awa.engine.claim import StoredJob
from awa.errors import JobCancelled, JobTimeout
from awa.processes.board.slot import Slot
from awa.processes.clock import ServerClock
from awa.processes.fork_generation import generation
from awa.processes.memory import MemoryLimit, clear_memory_limit
from awa.task.outcome import COMPLETED, Outcome, decide_error, decide_result
from awa.task.registry import Around, Task
from awa.telemetry.current_job import CURRENT
from awa.worker import hooks
from awa.worker.completion import Completions
from awa.worker.interrupts import HERE, Interrupts
from awa.worker.job_context import RunningJob, end

INTERRUPTS: Final = (JobTimeout, JobCancelled)
_CALLERS: Final = (__file__, hooks.__file__, asyncio.base_events.__file__)
"""Files whose frames stand in every traceback before the handler's."""


class Runner:
    """Calls handlers, `async def` ones on an event loop that lives as long as the worker."""

    def __init__(
        self,
        slot: Slot,
        completions: Completions,
        interrupts: Interrupts,
        clock: ServerClock,
        *,
        around_jobs: Sequence[Around] = (),
        interruptible: bool = False,
    ) -> None:
        """`around_jobs`: see `Registry.around`. `interruptible`: Ctrl-C while a handler runs is meant for the code that
        called us, and is no outcome of the job."""
        self._slot = slot
        self._completions = completions
        self._interrupts = interrupts
        self._clock = clock
        self._around_jobs = around_jobs
        self._interruptible = interruptible
        self._loop: asyncio.AbstractEventLoop | None = None
        self._generation = generation()

    def run(self, task: Task, body: StoredJob, attempt: int, deadline_us: int = 0) -> Outcome:
        """Run attempt number `attempt` (from 1) of a job. What the handler raises is its outcome, and not raised.

        `deadline_us` (of the server's clock, since the epoch; 0: none) is what the handler is told; the supervisor
        enforces it.
        """
        try:
            args = task.decode(body.args)
        except Exception as misfit:  # noqa: BLE001 - becomes the job's outcome; another attempt would fail the same way
            now_us = self._clock.now_us()
            return decide_error(_from_the_handler(misfit), attempt, body.max_attempts, terminal=True, now_us=now_us)
        job = CURRENT.job = RunningJob(body, attempt, args, self._slot, self._completions, deadline_us)
        try:
            value = self._call_inside(task, job) if self._around_jobs else self._call_capped(task, job)
            if value is None:
                return COMPLETED  # by far the most: no call, and no look at a clock that is not needed
            return decide_result(value, attempt, body.max_attempts, now_us=self._clock.now_us())
        except BaseException as error:  # a handler's sys.exit() ends its job, not the worker
            self._interrupts.is_open = False  # if an interrupt came just when the handler was done
            self._end_stray_child(error)
            if self._interruptible and isinstance(error, KeyboardInterrupt) and not isinstance(error, INTERRUPTS):
                raise
            now_us = self._clock.now_us()
            return decide_error(_from_the_handler(error), attempt, body.max_attempts, task.policy, now_us=now_us)
        finally:
            clear_memory_limit()
            self._interrupts.stop_timer()
            CURRENT.job = None
            end(job)

    def close(self) -> None:
        """End the event loop, if there was one."""
        loop, self._loop = self._loop, None
        if loop is not None:
            _cancel_leftovers(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    def _call_inside(self, task: Task, job: RunningJob) -> Any:
        """Call the handler inside what the application wants around it. No interrupt reaches that, and no cap on
        memory: half done, it would leave the next job a mess. If it hangs, the worker is killed in the end."""

        def handle() -> Any:
            try:
                self._interrupts.heed_late()
                return self._call_capped(task, job)
            except BaseException as error:
                self._interrupts.is_open = False
                self._end_stray_child(error)  # before it does the parent's tidying up a second time
                raise

        value = hooks.within(self._around_jobs, job, handle)
        self._end_stray_child(None)
        return value

    def _call_capped(self, task: Task, job: RunningJob) -> Any:
        """Call the handler. The cap on its memory is off again when an error that it raised is written down."""
        limit_mb = task.policy.memory_limit_mb
        if limit_mb is None:
            return self._call(task, job)
        with MemoryLimit(limit_mb):
            return self._call(task, job)

    def _call(self, task: Task, job: RunningJob) -> Any:
        interrupts = self._interrupts
        try:
            interrupts.is_open = True
            value = task.handler(job)
            if task.is_async or type(value) is CoroutineType:  # a decorator may hide an `async def`
                value = self._finish(value)
        finally:
            interrupts.is_open = False
        self._end_stray_child(None)
        return value

    def _finish(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        loop = self._loop = self._loop or asyncio.new_event_loop()
        interrupts = self._interrupts
        try:
            task = loop.create_task(coroutine)
            interrupts.aim_at(task)
            return loop.run_until_complete(task)
        except asyncio.CancelledError as cancelled:
            if (interrupt := interrupts.taken()) is None:
                raise
            raise interrupt.with_traceback(_where(cancelled)) from None
        finally:
            interrupts.aim_at(None)
            self._end_leftovers(loop)

    def _end_leftovers(self, loop: asyncio.AbstractEventLoop) -> None:
        """End what the handler began and did not wait for: it must not run on inside another job.

        What refuses to end takes this job's time, and its event loop with it: on that loop, it would take the time of
        all later jobs as well.
        """
        try:
            _cancel_leftovers(loop)
        except BaseException:
            self._loop = None
            loop.close()
            raise

    def _end_stray_child(self, error: BaseException | None) -> None:
        """A process that the handler forked has come back here: it must not go on as a second worker."""
        if generation() != self._generation:
            os._exit(_exit_code(error))


def _where(cancelled: asyncio.CancelledError) -> TracebackType | None:
    """Return where in the coroutine it was cancelled. Python 3.10 raises another exception than arrived there."""
    arrived = cancelled.__context__
    return (arrived if isinstance(arrived, asyncio.CancelledError) else cancelled).__traceback__


def _cancel_leftovers(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel every task of an event loop, and wait for their ends."""
    leftovers = asyncio.all_tasks(loop)
    for each in leftovers:
        each.cancel()
    if leftovers:
        loop.run_until_complete(asyncio.wait(leftovers))


def _exit_code(error: BaseException | None) -> int:
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return 1


def _from_the_handler(error: BaseException) -> BaseException:
    """Return `error` without Awa's own frames: those every traceback would begin with, and the signal handler that
    an interrupt comes from."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename in _CALLERS:
        frames = frames.tb_next
    if frames is None:
        return error
    if isinstance(error, INTERRUPTS):
        if frames.tb_frame.f_code.co_filename == HERE:  # it came before the handler did anything
            return error.with_traceback(None)
        _cut_signal_handler(frames)
    return error.with_traceback(frames)


def _cut_signal_handler(frames: TracebackType) -> None:
    while frames.tb_next is not None:
        if frames.tb_next.tb_frame.f_code.co_filename == HERE:
            frames.tb_next = None
            return
        frames = frames.tb_next
