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

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, task: Task, body: Body, attempt: int) -> Verdict:
        """Run attempt number `attempt` (from 1) of a job. Never raises: whatever the handler raises is its outcome."""
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
        except BaseException as error:  # noqa: BLE001 - a handler's sys.exit() ends its job, not the worker
            return decide_error(error, attempt, body.max_attempts)

    def close(self) -> None:
        """End the event loop, if there was one."""
        if self._loop is not None:
            self._loop.close()
            self._loop = None

    def _finish(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop.run_until_complete(coroutine)
