"""Turns a job into the result object of Django's Tasks framework."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from importlib import import_module
from traceback import format_exception
from typing import Any, Final

from django.utils.module_loading import import_string

from awa import errors
from awa.client.client import Client
from awa.client.rows import job_of
from awa.engine.admin import control
from awa.enqueue.connected import lent
from awa.errors import JobNotFound
from awa.integrations.django.roots import framework
from awa.job.model import Job, JobState

RUNNING_WORKER: Final = "running"
"""Stands for the worker of an attempt that has not ended."""
UNKNOWN_WORKER: Final = "unknown"
_STATUS: Final = {
    JobState.Running: "RUNNING",
    JobState.Completed: "SUCCESSFUL",
    JobState.Failed: "FAILED",
    JobState.Cancelled: "FAILED",
}
"""All other states are READY: the task will run, for the first time or again."""


def enqueued(task: Any, args: Any, kwargs: Any, backend: str) -> Any:
    """Return the result of a task about to be enqueued; it makes JSON of the arguments."""
    return _result(task, args, kwargs, backend, id="", status=framework("base").TaskResultStatus.READY)


def running(job: Job, worker: str) -> Any:
    """Return the result of the task whose job is being run, by `worker`, right now."""
    now = datetime.now(tz=job.created_at.tzinfo if job.created_at else None)
    return _result(
        task_of(job.args),
        job.args["args"],
        job.args["kwargs"],
        job.args["backend"],
        id=str(job.id),
        status=framework("base").TaskResultStatus.RUNNING,
        enqueued_at=job.created_at,
        started_at=now,
        last_attempted_at=now,
        worker_ids=[UNKNOWN_WORKER] * (job.attempt - 1) + [worker],
    )


def read(client: Client, job_id: int, kind: str, backend: str) -> Any:
    """Return the result of the task of a job. Raises JobNotFound when no such task was enqueued by `backend`."""
    with lent(client, f"read the result of task {job_id}") as connection:
        row = control.get(connection, job_id)
        attempts = [each for each in control.attempts(connection, job_id) if each["worker"] is not None]
    job = job_of(row)
    if job.kind != kind or job.args["backend"] != backend:
        raise JobNotFound(job_id)
    workers, starts = [str(each["worker"]) for each in attempts], [each["started_at"] for each in attempts]
    if job.state is JobState.Running:
        workers.append(RUNNING_WORKER)
        starts.append(row["attempted_at"])
    result = _result(
        task_of(job.args),
        job.args["args"],
        job.args["kwargs"],
        backend,
        id=str(job.id),
        status=framework("base").TaskResultStatus[_STATUS.get(job.state, "READY")],
        enqueued_at=job.created_at,
        started_at=starts[0] if starts else None,
        last_attempted_at=starts[-1] if starts else None,
        finished_at=job.finalized_at,
        worker_ids=workers,
        errors=list(_errors(job)),
    )
    object.__setattr__(result, "_return_value", job.result)
    return result


def task_of(payload: Mapping[str, Any]) -> Any:
    """Return the task that a job is to run, with the options it was enqueued with. Raises ImportError."""
    run_after = payload["run_after"]
    return import_string(payload["task"]).using(
        priority=payload["priority"],
        backend=payload["backend"],
        queue_name=payload["queue"],
        run_after=None if run_after is None else datetime.fromisoformat(run_after.replace("Z", "+00:00")),
    )


def task_error(error: BaseException) -> Any:
    """Return what the framework keeps of an exception just raised."""
    kind = type(error)
    trace = "".join(format_exception(kind, error, error.__traceback__))
    return framework("base").TaskError(exception_class_path=f"{kind.__module__}.{kind.__qualname__}", traceback=trace)


def _errors(job: Job) -> Iterator[Any]:
    for error in job.errors:
        yield framework("base").TaskError(
            exception_class_path=_class_path(error), traceback=_as_traceback(error["error"])
        )


def _as_traceback(text: str) -> str:
    """Return an error as Python prints one: what was raised stands last. Awa keeps it first."""
    said, frame, rest = text.partition('\n  File "')
    return f"Traceback (most recent call last):{frame}{rest}\n{said}\n" if frame else f"{text}\n"


def _class_path(error: Mapping[str, Any]) -> str:
    """Return where the exception's class can be imported from; what Awa says by itself has none and is an AwaError."""
    name = error["type"]
    if module := error.get("module"):
        return f"{module}.{name}"
    known = getattr(import_module("builtins"), name, None)
    if isinstance(known, type) and issubclass(known, BaseException):
        return f"builtins.{name}"
    return f"{errors.__name__}.{name if hasattr(errors, name) else errors.AwaError.__name__}"


def _result(task: Any, args: Any, kwargs: Any, backend: str, **known: Any) -> Any:
    unknown = dict.fromkeys(("enqueued_at", "started_at", "finished_at", "last_attempted_at"))
    made = {**unknown, "errors": [], "worker_ids": [], **known}
    return framework("base").TaskResult(task=task, args=args, kwargs=kwargs, backend=backend, **made)
