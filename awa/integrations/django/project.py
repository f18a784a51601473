"""The client of a Django project."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from awa import telemetry
from awa.client import Client
from awa.engine import insert as engine
from awa.engine.insert import Inserted, NewJob
from awa.integrations.django.conf import alias, conf
from awa.integrations.django.joining import cursors, django_translated, is_psycopg3
from awa.integrations.django.roots import queues_of_backends
from awa.integrations.django.source import DjangoConnections
from awa.job import Job
from awa.producing import DEFAULT_PRIORITY, Options, check_options, inserted_job, new_job, new_jobs
from awa.task import Registry


class ProjectRegistry(Registry):
    """The tasks of all apps of the project."""

    @property
    def queues(self) -> list[str]:
        """What workers take jobs from: `AWA["QUEUES"]`, else the queues of all tasks, Django's own included."""
        return sorted(conf("QUEUES") or {*super().queues, *queues_of_backends()})


class ProjectClient(Client):
    """An `awa.Client` over Django's connection to the database that `AWA` names.

    What it does is part of the transaction that is open there, savepoints included; outside of one, each call commits
    by itself, as each query of the ORM does. With psycopg2 that holds for inserting; all else goes over connections of
    its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self._source = DjangoConnections()
        self._is_checked = True  # by the system checks
        self.registry = ProjectRegistry()

    def insert(self, args: Any, **options: Any) -> Job:
        """Insert one job by one statement on Django's connection; options and errors are those of `Client.insert`."""
        checked = _checked(**options)
        job = new_job(self.registry, args, checked)
        (inserted,) = self._insert([job])
        return inserted_job(job, inserted)

    def _copy(self, jobs: Iterable[NewJob]) -> list[int]:
        if self._source.is_callers:
            return super()._copy(jobs)
        return [inserted.id for inserted in self._insert(jobs)]

    def _copy_and_read(self, jobs: Iterable[Any], options: Options) -> list[Job]:
        if self._source.is_callers:
            return super()._copy_and_read(jobs, options)
        given = list(new_jobs(self.registry, jobs, options))
        return [inserted_job(job, each) for job, each in zip(given, self._insert(given), strict=True)]

    def _insert(self, jobs: Iterable[NewJob]) -> Sequence[Inserted]:
        """Insert jobs, one statement each, all of them or none, by way of Django's cursors."""
        self._refuse_closed()
        is_psycopg3(alias())  # it is PostgreSQL
        connection = cursors(alias())
        with django_translated("insert a job"):
            if isinstance(jobs, list) and len(jobs) == 1:
                inserted = [engine.insert(connection, jobs[0])]  # no savepoint around one statement
            else:
                with connection.transaction():
                    inserted = [engine.insert(connection, job) for job in jobs]
        telemetry.emit(telemetry.INSERT_JOBS, jobs=len(inserted))
        return inserted

    @contextmanager
    def _using(self, doing: str) -> Iterator[psycopg.Connection[Any]]:
        with django_translated(doing), super()._using(doing) as connection:
            yield connection


def _checked(
    *,
    kind: str | None = None,
    queue: str | None = None,
    priority: int = DEFAULT_PRIORITY,
    max_attempts: int | None = None,
    timeout: float | None = None,
    tags: list[str] | None = None,
    metadata: Any = None,
    run_at: Any = None,
) -> Options:
    return check_options(kind, queue, priority, max_attempts, timeout, tags, metadata, run_at)
