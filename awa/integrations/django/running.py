"""Runs Django's tasks: one handler for all of them."""

from __future__ import annotations

import logging
import os
import socket
from datetime import datetime, timezone
from typing import Any, Final

from awa.client.client import Client
from awa.errors import TerminalError
from awa.integrations.django.results import running, task_error
from awa.integrations.django.roots import KIND, framework, normalized
from awa.job import codec
from awa.job.model import Job
from awa.task.outcome import RESULT_BYTES_MAX, Snooze

UNKNOWN_TASK_S: Final = 30.0
"""Delay of a task that this worker does not know: a worker with newer code may find it meanwhile."""
logger = logging.getLogger("awa.django")


def register(client: Client) -> None:
    """Let workers of `client` run Django's tasks."""
    client.task(kind=KIND)(run_task)


def run_task(job: Job) -> Any:
    """Import the task of a job and call it, telling who listens to the framework's signals.

    A task that cannot be imported is no failure of its own: while a release is rolled out, workers with the older code
    meet those of the newer. Such a job is put aside as if it had not been started.
    """
    try:
        result = running(job, f"{socket.gethostname()}:{os.getpid()}")
    except ImportError as error:
        logger.warning(
            "job %s is a task that this worker cannot import (%s: %s); it is put aside for %.0f s. Restart the workers "
            "with the code that has it, or cancel the job",
            job.id,
            job.args["task"],
            error,
            UNKNOWN_TASK_S,
        )
        return Snooze(UNKNOWN_TASK_S)
    sender = type(result.task.get_backend())
    framework("signals").task_started.send(sender, task_result=result)
    try:
        value = _checked(_call(result))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        result.errors.append(task_error(error))
        if job.attempt >= job.max_attempts or isinstance(error, TerminalError):
            _finish(result, sender, "FAILED")
        raise
    object.__setattr__(result, "_return_value", value)
    _finish(result, sender, "SUCCESSFUL")
    return value


def _call(result: Any) -> Any:
    task = result.task
    context = [framework("base").TaskContext(task_result=result)] if task.takes_context else []
    return task.call(*context, *result.args, **result.kwargs)


def _checked(value: Any) -> Any:
    """Return what a task returned, as JSON: with this framework, a task whose value cannot be kept has failed."""
    normal = normalized(value)
    codec.encode(normal, name="result", bytes_max=RESULT_BYTES_MAX)
    return normal


def _finish(result: Any, sender: Any, status: str) -> None:
    """Send the last signal. It is sent inside the `except` of a task that failed, so that the error can be logged."""
    object.__setattr__(result, "status", framework("base").TaskResultStatus[status])
    object.__setattr__(result, "finished_at", datetime.now(timezone.utc))
    framework("signals").task_finished.send(sender, task_result=result)
