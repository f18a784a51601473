"""Run one job: its arguments decoded, its handler called, what came of it as a verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from awa.engine.claim import Body
from awa.outcome import Verdict, decide_error, decide_result
from awa.processes.slot import Slot
from awa.task import Task
from awa.worker.context import RunningJob


class Runner:
    """Calls handlers, `async def` ones on an event loop that lives as long as the worker."""

    def __init__(self, slot: Slot, *, interruptible: bool = False) -> None:
        """`interruptible`: Ctrl-C while a handler runs is meant for whoever called us, and is no outcome of the job."""
        self._slot = slot
        self._interruptible = interruptible
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, task: Task, body: Body, attempt: int) -> Verdict:
        """Run attempt number `attempt` (from 1) of a job. What the handler raises is its outcome, and not raised."""
        try:
            args = task.decode(body.args)
        except Exception as misfit:  # noqa: BLE001 - becomes the job's outcome; another attempt would fail the same way
            return decide_error(misfit, attempt, body.max_attempts, terminal=True)
        job = RunningJob(body, attempt, args, self._slot)
        try:
            value = task.handler(job)
            if task.is_async:
                value = self._finish(value)
            return decide_result(value, attempt, body.max_attempts)
        except BaseException as error:  # a handler's sys.exit() ends its job, not the worker
            if self._interruptible and isinstance(error, KeyboardInterrupt):
                raise
            return decide_error(error, attempt, body.max_attempts)

    def close(self) -> None:
        """End the event loop, if there was one, and what handlers have left running on it."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        left = asyncio.all_tasks(loop)
        for each in left:
            each.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    def _finish(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(coroutine)
