"""A publication of all tables, as change data capture and a move by logical replication make it, harms no job."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import psycopg
import pytest

from awa.engine import expire, settle
from awa.engine.claim import begin
from awa.engine.seal import seal_all
from awa.job.model import JobState
from tests.engine.helpers import Connection, add, ids_of, outcome, sign_in, take
from tests.fixtures.postgres import for_database

pytestmark = pytest.mark.postgres

WITHOUT_IDENTITY = """
select t.relname from pg_class t
where t.relnamespace = 'awa'::regnamespace and t.relkind = 'r' and t.relreplident = 'd'
  and not exists (select from pg_index i where i.indrelid = t.oid and i.indisprimary)
  and t.relnatts > 0  -- but for those that are only there to be locked
order by t.relname
"""


@pytest.fixture
def published(connection: Connection, superuser_dsn: str) -> None:
    """Publishes every table of the database."""
    with psycopg.connect(for_database(superuser_dsn, connection.info.dbname, "postgres"), autocommit=True) as admin:
        admin.execute("create publication everything for all tables")


def test_rows_can_be_told_apart_in_every_table(connection: Connection) -> None:
    """Else PostgreSQL refuses each update and delete in such a table, as soon as it is published."""
    assert connection.execute(WITHOUT_IDENTITY).fetchall() == []


@pytest.mark.usefixtures("published")
def test_lines_and_expiry_go_on_while_everything_is_published(connection: Connection) -> None:
    soon = datetime.now(timezone.utc) + timedelta(hours=1)
    ordered = [*add(connection, ordering_key=b"k"), *add(connection, ordering_key=b"k")]
    expiring = add(connection, expires_at=soon)
    seal_all(connection)
    worker = sign_in(connection)
    done: list[int] = []
    for _ in range(2):
        begun = ids_of(take(connection, worker))
        for job in begun:
            begin(connection, worker, job)
        done += settle.settle(connection, worker, [outcome(job, JobState.Completed) for job in begun])
        expire.expire(connection)
        seal_all(connection)
    assert sorted(done) == sorted([*ordered, *expiring])
