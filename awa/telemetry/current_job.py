"""The job that this process runs, for log records: threads that its handler starts see it, too."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from awa.job.model import Job


class Current:
    """The job whose handler runs in this process; a worker runs one at a time."""

    __slots__ = ("job",)

    def __init__(self) -> None:
        self.job: Job | None = None


CURRENT: Final = Current()


def fields() -> dict[str, Any]:
    """Return the fields that a log line of the running job has; none while no job runs."""
    job = CURRENT.job
    return {} if job is None else {"job": job.id, "attempt": job.attempt, "kind": job.kind, "queue": job.queue}


class JobLogFilter(logging.Filter):
    """Lets every record pass, and gives it the job during which it was made: for handlers of the application's own.

    The attributes `awa_job_id`, `awa_attempt`, `awa_kind` and `awa_queue` are None where no job runs, as in a web
    process; `awa_job` is all of them as text, `job=12 attempt=1 kind=render queue=default`, or `-`.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Set the attributes; return True."""
        found = fields()
        record.awa_job_id = found.get("job")
        record.awa_attempt = found.get("attempt")
        record.awa_kind = found.get("kind")
        record.awa_queue = found.get("queue")
        record.awa_job = " ".join(f"{name}={value}" for name, value in found.items()) or "-"
        return True
