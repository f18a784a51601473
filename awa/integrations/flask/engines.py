"""SQLAlchemy in worker processes: no connection of the process they were forked from, no session of the last job.

SQLAlchemy and Flask-SQLAlchemy are not imported here: who gives us such an object has.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask

from awa.errors import ValidationError

_inherited: list[Any] = []
"""Sessions of the process we were forked from. Finalised here, they would roll back on connections that are its own."""


class FlaskSqlalchemy:
    """The engines that Flask-SQLAlchemy has made for an application. Its session goes with the application context."""

    def __init__(self, app: Flask) -> None:
        self._app = app

    def give_up_connections(self) -> None:
        """Forget, without a word to the server, connections that were opened before the fork."""
        extension = self._app.extensions.get("sqlalchemy")
        if extension is None:
            return
        with self._app.app_context():
            for engine in extension.engines.values():
                engine.dispose(close=False)


class ScopedSession:
    """A `scoped_session` of the application's own."""

    def __init__(self, session: Any) -> None:
        """Raises ValidationError when `session` is none."""
        if not hasattr(session, "registry") or inspect.iscoroutinefunction(getattr(session, "remove", None)):
            raise ValidationError(f"add_session takes a scoped_session of SQLAlchemy, not {session!r}")
        self._session = session

    @contextmanager
    def removed(self, job: Any) -> Iterator[None]:
        """Let a job have a session of its own."""
        try:
            yield
        finally:
            self._session.remove()

    def give_up_connections(self) -> None:
        """Forget the session, and the connections of its engine, that there were before the fork."""
        registry = self._session.registry
        if registry.has():
            _inherited.append(registry())
            registry.clear()
        factory = self._session.session_factory
        engine: Any = getattr(factory, "kw", {}).get("bind")
        if hasattr(engine, "dispose"):  # not where sessions are bound to a single connection
            engine.dispose(close=False)
