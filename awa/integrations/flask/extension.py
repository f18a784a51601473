"""`Awa`: the extension. It holds the tasks, and a client for each application that it is initialised for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from weakref import WeakSet

import click
from flask import Flask, current_app, has_app_context

from awa.client.client import Client
from awa.enqueue.prepare import InsertedMany
from awa.errors import AwaError, ValidationError
from awa.integrations.flask.config import NAME, client_options
from awa.integrations.flask.engines import FlaskSqlalchemy, ScopedSession
from awa.integrations.flask.sessions import OpenSessions, note_joined
from awa.job.model import Job
from awa.task.registry import Function, Handler, Registry

_CLIENT: Final = "awa.client"
_OPEN_SESSIONS: Final = "awa.sessions"


class Awa:
    """Jobs of a Flask application.

        jobs = Awa()

        @jobs.task(SendEmail)
        def send_email(job):
            ...

        def create_app():
            app = Flask(__name__)
            jobs.init_app(app)
            return app

    Tasks are the same for all applications; each has a client of its own, on the database of its configuration. What a
    client can do, this can do as well (`insert`, `transaction`, `get_job`, …): for the current application, and outside
    of any for the only one there is. Jobs that are inserted while SQLAlchemy's session of the request has a transaction
    open are part of it.

    A handler runs in an application context of its own, at the end of which Flask-SQLAlchemy removes the session.
    """

    def __init__(
        self, app: Flask | None = None, *, database_url: Any = None, max_connections: int | None = None
    ) -> None:
        """Make the extension, and initialise it for `app` if there is one.

        Args:
            app: the application, unless `init_app` is called later.
            database_url: as of `awa.Client`, for applications whose configuration has no `AWA_DATABASE_URL`.
            max_connections: likewise, `AWA_MAX_CONNECTIONS`.
        """
        self._defaults = {"database_url": database_url, "max_connections": max_connections}
        self._common = Client()
        """Takes the tasks and hooks of all applications, and connects to nothing."""
        self._apps: WeakSet[Flask] = WeakSet()
        self._sessions: list[Any] = []
        """Scoped sessions of the applications' own."""
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Make a client for `app`, as its configuration says, and give it the commands `flask awa …`.

        Raises:
            AwaError: it has an Awa.
            ValidationError: of its configuration.
        """
        if NAME in app.extensions:
            raise AwaError(f"the application {app.name!r} has an Awa already; call init_app once for each application")
        client = Client(**client_options(app.config, self._defaults))
        client.registry = Registry(self._common.registry)
        client.around_jobs(lambda job: app.app_context())
        client.on_worker_start(FlaskSqlalchemy(app).give_up_connections)
        app.extensions[NAME] = self
        app.extensions[_CLIENT] = client
        app.extensions[_OPEN_SESSIONS] = OpenSessions(app, client, self._sessions)
        app.cli.add_command(_Commands(NAME, help="Look after jobs, and run the supervisor of this application."))
        self._apps.add(app)

    # What is common to all applications

    def task(self, *args: Any, **options: Any) -> Callable[[Handler], Handler]:
        """Register the decorated function as a handler: `Client.task`, before or after `init_app`."""
        return self._common.task(*args, **options)

    def around_jobs(self, make: Function) -> Function:
        """Call each handler inside `make(job)`, and that inside the application context: `Client.around_jobs`."""
        return self._common.around_jobs(make)

    def on_worker_start(self, function: Function) -> Function:
        """Call `function()` in each worker process before its first job: `Client.on_worker_start`."""
        return self._common.on_worker_start(function)

    def add_session(self, session: Any) -> Any:
        """Remove a `scoped_session` of SQLAlchemy after each job, and let jobs join its transactions; return it.

        In a new worker process it is emptied, and the connections of its engine are given up. Flask-SQLAlchemy's need
        not be added. Raises ValidationError when it is none.
        """
        scoped = ScopedSession(session)
        self.around_jobs(scoped.removed)
        self.on_worker_start(scoped.give_up_connections)
        self._sessions.append(session)
        return session

    # What is an application's own

    def insert(self, args: Any, *, outside_transaction: bool = False, **options: Any) -> Job:
        """Insert one job: `Client.insert`, in the transaction of the session where one is open.

        Where SQLAlchemy's session of the current context (Flask-SQLAlchemy's, or one that was added) has begun a
        transaction in the jobs' database, the job is part of it: there if and only if it commits. A session begins one
        with its first query or `add`. Otherwise the job is there as soon as this returns.

        Args:
            args: as of `Client.insert`.
            outside_transaction: insert the job at once, over a connection of the client's, whatever is open.
            options: as of `Client.insert`; `connection` and `session` name what to join instead.

        Returns:
            The new job, as `Client.insert` does.

        Raises:
            AwaError: two sessions have a transaction open, or one over a driver that jobs cannot be inserted with.
            ValidationError: as of `Client.insert`; and for `outside_transaction` together with what to join.
        """
        session = self._to_join(outside_transaction, options)
        if session is None:
            return self.client.insert(args, **options)
        job = self.client.insert(args, **options, session=session)
        note_joined(session, 1)
        return job

    def insert_many(self, jobs: Iterable[Any], *, outside_transaction: bool = False, **options: Any) -> InsertedMany:
        """Insert one job for each of `jobs`: `Client.insert_many`, in the transaction that `insert` would join."""
        session = self._to_join(outside_transaction, options)
        if session is None:
            return self.client.insert_many(jobs, **options)
        done = self.client.insert_many(jobs, **options, session=session)
        note_joined(session, done.inserted)
        return done

    def work(self, queues: Sequence[str] | None = None, **options: Any) -> int:
        """Run jobs in this process: `Client.work`. Raises AwaError while a session has jobs it has not committed."""
        app = self._app()
        sessions: OpenSessions = app.extensions[_OPEN_SESSIONS]
        sessions.refuse_uncommitted(app)
        return self.client.work(queues, **options)

    def _to_join(self, outside_transaction: bool, options: dict[str, Any]) -> Any:
        """Return the open session that jobs become part of; None where the options say otherwise or none is open."""
        is_named = options.get("connection") is not None or options.get("session") is not None
        if outside_transaction and is_named:
            raise ValidationError("outside_transaction=True inserts at once; it cannot go with connection or session")
        if outside_transaction or is_named:
            return None
        options.pop("session", None)
        app = self._app()
        sessions: OpenSessions = app.extensions[_OPEN_SESSIONS]
        return sessions.find(app)

    def client_of(self, app: Flask) -> Client:
        """Return the client of an application. Raises AwaError when `init_app` was not called for it."""
        client = app.extensions.get(_CLIENT) if app.extensions.get(NAME) is self else None
        if client is None:
            raise AwaError(f"the application {app.name!r} was not initialised with this Awa: call its init_app(app)")
        found: Client = client
        return found

    @property
    def client(self) -> Client:
        """The client of the current application, or of the only one. Raises AwaError where it cannot be told."""
        return self.client_of(self._app())

    def _app(self) -> Flask:
        """Return the current application, or the only one. Raises AwaError where it cannot be told."""
        if has_app_context():
            app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
            self.client_of(app)
            return app
        apps = list(self._apps)
        if not apps:
            raise AwaError("this Awa has no application yet: call init_app(app)")
        if len(apps) > 1:
            raise AwaError(
                f"this Awa serves {len(apps)} applications, and none is the current one: use it inside "
                "app.app_context(), or take client_of(app)"
            )
        return apps[0]

    @property
    def awa_client(self) -> Client:
        """Resolves the object that `awa-supervisor --app package.module:name` names."""
        return self.client

    def __getattr__(self, name: str) -> Any:
        """Everything else is the client's."""
        if name.startswith("_") or not hasattr(Client, name):
            raise AttributeError(f"neither Awa nor awa.Client has {name!r}")
        return getattr(self.client, name)


class _Commands(click.Command):
    """`flask awa`: loaded when it is called, for a web process does without all that it needs."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        from awa.integrations.flask.commands import context

        return context(*args, **extra)
