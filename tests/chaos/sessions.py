"""Faults of sessions: roles and databases with settings of their own, and transactions that stay open."""

from __future__ import annotations

import contextlib
import random
import time
from typing import Any, Final

import psycopg
from psycopg.sql import SQL, Composable, Identifier, Literal

import awa
from awa.errors import AwaError
from tests.chaos.fault import Hit, NoTarget, Scene, connected, fault, mend

HOSTILE: Final = {
    "client_encoding": "LATIN1",
    "DateStyle": "German, DMY",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Pacific/Chatham",
    "search_path": "chaos, public, pg_catalog",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "standard_conforming_strings": "off",
    "bytea_output": "escape",
    "extra_float_digits": "-10",
    "lock_timeout": "1ms",
    "statement_timeout": "20ms",
    "idle_in_transaction_session_timeout": "20ms",
    "enable_indexscan": "off",
    "row_security": "off",
}
"""Settings that an administrator may give a role or a database, and on which nothing of Awa's may depend."""

END_SESSIONS: Final = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and application_name ~ '^awa'"""
CANCELLED_MAX: Final = 60
WAITING: Final = """
select job from awa.batch b, unnest(b.ids) job where b.owner is null
union all select job_id from awa.deferred order by 1 limit %s"""


@fault(4)
def hostile_sessions(scene: Scene, draw: random.Random) -> Hit:
    """The role or the database gets some hostile settings, and every connection of the fleet ends: the new ones have
    them for some seconds. The settings go again, but sessions keep what they began with."""
    names = draw.sample(sorted(HOSTILE), draw.randint(1, 4))
    target, seconds = draw.choice(["role", "database"]), draw.uniform(1, 4)
    with connected(scene) as connection:
        name = connection.info.user if target == "role" else connection.info.dbname
        owner = SQL("{} {}").format(SQL(target), Identifier(name))
        for setting in names:
            values = SQL(", ").join(map(Literal, HOSTILE[setting].split(", ")))
            connection.execute(SQL("alter {} set {} = {}").format(owner, Identifier(setting), values))
        try:
            connection.execute(END_SESSIONS)
            time.sleep(seconds)
        finally:
            _reset(scene, owner, names)
    return Hit()


def _reset(scene: Scene, owner: Composable, names: list[str]) -> None:
    """Take settings back."""
    mend(scene, [SQL("alter {} reset {}").format(owner, Identifier(setting)) for setting in names])


@fault(4)
def open_cancels(scene: Scene, draw: random.Random) -> Hit:
    """A transaction cancels up to sixty waiting jobs, stays open for up to five seconds, and ends either way."""
    commits = draw.random() < 0.5
    open_s = draw.uniform(0.2, 5)
    with connected(scene) as connection:
        with connection.transaction(force_rollback=not commits):
            cancelled = _cancel_waiting(connection)
            if not cancelled:
                raise NoTarget
            time.sleep(open_s)
        if commits:
            scene.note_cancelled(cancelled)
    return Hit()


def _cancel_waiting(connection: psycopg.Connection[Any]) -> list[int]:
    """Cancel what waits, in the open transaction; return the jobs."""
    client = awa.Client(connection)
    cancelled = []
    for (job,) in connection.execute(WAITING, [CANCELLED_MAX]).fetchall():
        with contextlib.suppress(AwaError), connection.transaction():  # it may have been claimed, or have ended
            client.cancel(job)
            cancelled.append(job)
    return cancelled
