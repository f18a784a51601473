"""The session whose transaction jobs join: SQLAlchemy's of the current request or job, where one has been begun.

As with Django: what is inserted while the application's transaction is open is part of it, and what is inserted while
none is open is there at once. SQLAlchemy is not imported before there is a session.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final
from weakref import WeakKeyDictionary

import psycopg
from flask import Flask, g, has_app_context
from psycopg import conninfo

from awa.client.client import Client
from awa.database.adapters.connection import adapt
from awa.database.errors import translated_foreign
from awa.errors import AwaError
from awa.integrations.flask.config import without_driver

_DRIVERS: Final = ("psycopg", "psycopg2")
_DATABASE: Final = (
    "select (select system_identifier::pg_catalog.text from pg_catalog.pg_control_system()), oid::pg_catalog.text "
    "from pg_catalog.pg_database where datname operator(pg_catalog.=) pg_catalog.current_database()"
)
"""Sent over the application's session: with its search path."""
_JOINED: Final = "awa.joined"
"""In `session.info`: how many jobs have been inserted in the transaction that is open."""
_STATUS: Final = "_awa_status"
_SESSIONS: Final = "_awa_sessions"


class OpenSessions:
    """Finds the session to join, for one application."""

    def __init__(self, app: Flask, client: Client, added: Iterable[Any]) -> None:
        """`added`: scoped sessions of the application beside that of Flask-SQLAlchemy."""
        self._client = client
        self._added = added
        self._leads_to_jobs: WeakKeyDictionary[Any, bool] = WeakKeyDictionary()
        app.after_request(_remember_status)
        app.teardown_appcontext(lambda error: _tell_of_lost_jobs(app, error))

    def find(self, app: Flask) -> Any:
        """Return the session with a transaction in the jobs' database; None without one.

        Raises:
            AwaError: there are two, or the session's driver is none that jobs can be inserted over.
            DatabaseError: one of the databases could not be asked which it is.
        """
        found = [session for session in self._begun(app) if self._is_jobs(session)]
        if len(found) > 1:
            raise AwaError(
                f"{len(found)} SQLAlchemy sessions have an open transaction, and a job can join one: pass session=…, "
                "or outside_transaction=True to insert it at once"
            )
        return found[0] if found else None

    def refuse_uncommitted(self, app: Flask) -> None:
        """Raise AwaError while a session's open transaction has jobs, which no other connection can see."""
        if waiting := sum(session.info.get(_JOINED, 0) for session in self._begun(app)):
            raise AwaError(
                f"work() cannot see jobs that were inserted in the open transaction of an SQLAlchemy session (there: "
                f"{waiting}); commit the session first"
            )

    def _begun(self, app: Flask) -> Iterable[Any]:
        """Yield the sessions that there are, and in which a transaction has been begun."""
        extension = app.extensions.get("sqlalchemy")
        scoped = [extension.session] if extension is not None and has_app_context() else []
        for each in {id(each): each for each in (*scoped, *self._added)}.values():
            if each.registry.has() and (session := each.registry()).in_transaction():
                yield session

    def _is_jobs(self, session: Any) -> bool:
        """Return whether a session leads to the database of the jobs. Both are asked, once, unless their addresses
        agree."""
        from sqlalchemy.exc import UnboundExecutionError

        try:
            engine = session.get_bind().engine
        except UnboundExecutionError:
            return False  # it has an engine for each model, and none for a job
        if engine.dialect.name != "postgresql":
            return False
        if engine.dialect.driver not in _DRIVERS:
            raise AwaError(
                f"an SQLAlchemy session with the driver {engine.dialect.driver!r} has an open transaction, which no "
                "job can join; use postgresql+psycopg:// or postgresql+psycopg2://, or pass outside_transaction=True "
                "to insert the job at once"
            )
        if engine not in self._leads_to_jobs:
            self._leads_to_jobs[engine] = self._is_same(session, engine)
        return self._leads_to_jobs[engine]

    def _is_same(self, session: Any, engine: Any) -> bool:
        session_database = _address(without_driver(engine.url))
        if session_database and session_database == _address(self._client.dsn or ""):
            return True
        with translated_foreign("ask the session for its database"):
            ((cluster, database),) = adapt(session).execute(_DATABASE.encode(), {})
        with self._client.transaction() as own:
            return list(own.fetch_one(_DATABASE).values()) == [cluster, database]


def note_joined(session: Any, jobs: int) -> None:
    """Note that jobs are part of a session's transaction, to say so if the request loses them."""
    from sqlalchemy import event

    if _JOINED not in session.info:
        event.listen(session, "after_commit", _forget)
        event.listen(session, "after_rollback", _forget)
    session.info[_JOINED] = session.info.get(_JOINED, 0) + jobs
    if has_app_context() and session not in (sessions := g.setdefault(_SESSIONS, [])):
        sessions.append(session)


def _forget(session: Any) -> None:
    """A transaction has been ended by the application, as it wished. A savepoint's end settles nothing."""
    if not session.in_nested_transaction():
        session.info[_JOINED] = 0


def _remember_status(response: Any) -> Any:
    setattr(g, _STATUS, response.status_code)
    return response


def _tell_of_lost_jobs(app: Flask, error: BaseException | None) -> None:
    """Say so when a request or job that has not failed ends without having ended its transaction."""
    lost = sum(session.info.get(_JOINED, 0) for session in g.pop(_SESSIONS, []))
    if lost and error is None and g.get(_STATUS, 200) < 400:
        what, they = ("1 job was", "it was") if lost == 1 else (f"{lost} jobs were", "they were")
        app.logger.warning(
            "%s inserted in the transaction of an SQLAlchemy session that was never committed, so %s rolled back with "
            "it: commit the session after the insert, or insert with outside_transaction=True",
            what,
            they,
        )


def _address(dsn: str) -> dict[str, Any]:
    """Return what of an address tells databases apart; nothing for one that libpq would not know."""
    try:
        known = conninfo.conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:  # embedded://, or the URL of another library
        return {}
    return {name: known[name] for name in ("host", "hostaddr", "port", "dbname", "service") if name in known}
