"""Inside: one job inserted into a transaction that SQLAlchemy or Django has open.

A web request pays for an insert in round trips and in Python. Round trips are counted on the wire, by libpq's own
trace. Python's share is the processor time of this process per insert, less that of a `select 1` which the same library
sends over the same connection: what is left is Awa's, and the library's for twelve parameters instead of none.
"""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from awa import Client
from benchmarks.harness.plan import Plan
from benchmarks.harness.report import Figure, Result
from benchmarks.harness.server import fresh_database

ARGS = {"n": 0, "text": "x" * 230}
_STATEMENT = re.compile(rb"\tF\t\d+\t(?:Query|Execute)\t")


INSERTS = 2_000


def run(plan: Plan) -> Result:
    """Measure many inserts, round by round, by way of each library."""
    rounds, jobs = plan.rounds, plan.size(INSERTS)
    figures: list[Figure] = []
    with fresh_database() as dsn:
        for name, using in (("SQLAlchemy", _sqlalchemy), ("Django", _django)):
            with using(dsn) as (theirs, trivial, raw):
                client = Client(dsn)

                def insert(client: Client = client, theirs: Any = theirs) -> Any:
                    return client.insert(ARGS, kind="noop", connection=theirs)

                statements = [float(_statements(raw, insert)) for _ in range(rounds)]
                spent = [_cpu_us(insert, jobs) - _cpu_us(trivial, jobs) for _ in range(rounds)]
                client.close()
            figures += [
                Figure(f"insert in a transaction of {name}", "statements", statements, 1, at_most=True),
                Figure(f"insert in a transaction of {name}, Python", "µs", spent, 150, at_most=True),
            ]
    return Result(figures)


Using = tuple[Any, Callable[[], Any], psycopg.Connection[Any]]


@contextmanager
def _sqlalchemy(dsn: str) -> Iterator[Using]:
    from sqlalchemy import create_engine, text
    from sqlalchemy.orm import Session

    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn))
    trivial = text("select 1")
    with Session(engine) as session, session.begin():
        yield session, lambda: session.execute(trivial).fetchall(), session.connection().connection.driver_connection
    engine.dispose()


@contextmanager
def _django(dsn: str) -> Iterator[Using]:
    import django
    from django.conf import settings
    from psycopg.conninfo import conninfo_to_dict

    named = {"dbname": "NAME", "user": "USER", "host": "HOST", "port": "PORT", "password": "PASSWORD"}
    database = {named[name]: value for name, value in conninfo_to_dict(dsn).items() if name in named}
    settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", **database}})
    django.setup()
    from django.db import connection, transaction

    def trivial() -> Any:
        with connection.cursor() as cursor:
            cursor.execute("select 1")
            return cursor.fetchall()

    with transaction.atomic():
        trivial()
        yield connection, trivial, connection.connection
    connection.close()


def _cpu_us(step: Callable[[], Any], times: int) -> float:
    """Return the microseconds of processor time of this process that one call takes."""
    for _ in range(20):
        step()
    began = time.process_time()
    for _ in range(times):
        step()
    return (time.process_time() - began) / times * 1e6


def _statements(raw: psycopg.Connection[Any], step: Callable[[], Any]) -> int:
    """Return how many statements a call sends, as libpq saw them."""
    step()
    with tempfile.TemporaryFile() as seen:
        raw.pgconn.trace(seen.fileno())
        try:
            step()
        finally:
            raw.pgconn.untrace()
        seen.seek(0)
        return len(_STATEMENT.findall(seen.read()))
