"""A backend for Django's Tasks framework: tasks become Awa jobs, in the transaction they are enqueued in.

    TASKS = {
        "default": {
            "BACKEND": "awa.integrations.django.backend.AwaBackend",
            "QUEUES": ["default", "email"],
            "OPTIONS": {"max_attempts": 3, "timeout": 60},
        }
    }

Works with `django.tasks` (Django 6.0 and later), and with the package django-tasks where that is not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning

from awa.errors import AwaError, JobNotFound, ValidationError
from awa.integrations.django import client
from awa.integrations.django.conf import conf
from awa.integrations.django.results import enqueued, read
from awa.integrations.django.roots import KIND, framework
from awa.job.validate import MAX_ATTEMPTS, check_timeout, check_whole

DEFAULTS: Final[dict[str, Any]] = {"max_attempts": 1, "timeout": None}
"""A task that fails has failed, as with Django's own backends, unless the project says how often to try."""
URGENCIES: Final = ((50, 1), (0, 2), (-50, 3))
"""Django's priority from here on is Awa's: 100 to 50 is 1, to 0 is 2, to -50 is 3, below is 4."""
LEAST_URGENT: Final = 4


class AwaBackend(framework("backends.base").BaseTaskBackend):  # type: ignore[misc]  # no types
    """Enqueues by one statement on Django's connection; results are read from the job."""

    supports_defer = True
    supports_async_task = True
    supports_get_result = True
    supports_priority = True

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        """Insert the job of a task into the transaction that is open.

        Raises the framework's InvalidTask for a task that cannot be run, TypeError for arguments that are not JSON.
        """
        self.validate_task(task)
        result = enqueued(task, args, kwargs, self.alias)
        job = client.insert(
            {
                "task": task.module_path,
                "args": result.args,
                "kwargs": result.kwargs,
                "backend": self.alias,
                "queue": task.queue_name,
                "priority": task.priority,
                "run_after": task.run_after,
            },
            kind=KIND,
            queue=task.queue_name,
            priority=urgency(task.priority),
            max_attempts=self._option("max_attempts"),
            timeout=self._option("timeout"),
            run_at=task.run_after,
        )
        object.__setattr__(result, "id", str(job.id))
        object.__setattr__(result, "enqueued_at", job.created_at)
        framework("signals").task_enqueued.send(type(self), task_result=result)
        return result

    def get_result(self, result_id: str) -> Any:
        """Return what is known of a task that this backend has enqueued. Raises TaskResultDoesNotExist."""
        try:
            return read(client, int(result_id), KIND, self.alias)
        except (ValueError, ValidationError, JobNotFound) as error:
            raise framework("exceptions").TaskResultDoesNotExist(result_id) from error

    def check(self, **kwargs: Any) -> Iterator[CheckMessage]:
        """Look at the backend's entry in TASKS."""
        yield from super().check(**kwargs)
        entry = f"TASKS[{self.alias!r}]"
        if not apps.is_installed("awa.integrations.django"):
            yield Error(f"{entry} is Awa's, and INSTALLED_APPS lacks 'awa.integrations.django'.", id="awa.E005")
        for problem in self._problems():
            yield Error(f"{entry}: {problem}", id="awa.E004")
        if not self.queues and not conf("QUEUES"):
            yield Warning(
                f"{entry} takes tasks for any queue, so workers cannot know which queues to look in, and look in "
                "'default' only.",
                hint='Name them: "QUEUES" there, or AWA = {"QUEUES": […]}.',
                id="awa.W002",
            )

    def _option(self, name: str) -> Any:
        return self.options.get(name, DEFAULTS[name])

    def _problems(self) -> Iterator[str]:
        for name in sorted(self.options.keys() - DEFAULTS.keys()):
            yield f"OPTIONS has {name!r}; the options are {', '.join(DEFAULTS)}"
        try:
            check_whole("max_attempts", self._option("max_attempts"), MAX_ATTEMPTS)
            check_timeout(self._option("timeout"))
        except AwaError as refusal:
            yield str(refusal)


def urgency(priority: int) -> int:
    """Return Awa's priority for one of Django's."""
    return next((own for least, own in URGENCIES if priority >= least), LEAST_URGENT)
