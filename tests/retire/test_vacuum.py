"""An autovacuum that is throttled works on a table for hours: a segment goes all the same."""

from collections.abc import Callable, Iterator

import psycopg
import pytest

from awa.database.open import connect
from awa.database.schema import chain
from awa.embedded.binaries import find_wheel
from awa.engine import retire
from tests.engine.helpers import add, small_segments
from tests.fixtures.clusters import own_cluster
from tests.fixtures.waiting import until
from tests.retire.steps import drop, pass_by, run, value, watch_until_sealed

ROWS = 3_000
EAGER = {
    "autovacuum_naptime": "1s",
    "autovacuum_vacuum_cost_delay": "100ms",
    "autovacuum_vacuum_cost_limit": "1",
    "autovacuum_vacuum_insert_threshold": "100",
}


@pytest.fixture
def throttled() -> Iterator[tuple[str, str]]:
    """A database on a server whose autovacuum comes at once and takes its time; and the superuser's name for it."""
    binaries = find_wheel()
    assert binaries is not None
    with own_cluster(binaries) as cluster:
        with psycopg.connect(cluster.superuser_dsn, autocommit=True) as admin:
            for name, setting in EAGER.items():
                admin.execute(f"alter system set {name} = '{setting}'".encode())
            admin.execute("select pg_reload_conf()")
        yield cluster.create_database("vacuumed"), cluster.superuser_dsn


def vacuumed(superuser_dsn: str) -> Callable[[], list[str]]:
    """Ask which tables are being vacuumed."""

    def ask() -> list[str]:
        query = "select query from pg_stat_activity where backend_type = 'autovacuum worker'"
        with psycopg.connect(superuser_dsn, autocommit=True) as admin:
            return [row[0] for row in admin.execute(query)]

    return ask


@pytest.mark.slow
def test_what_is_being_vacuumed_goes(throttled: tuple[str, str]) -> None:
    dsn, superuser_dsn = throttled
    with connect(dsn, role="test") as db:
        chain.migrate(db)
        small_segments(db, ROWS, 3)
        no = value(db, "select id from awa.segment order by first_id limit 1")
        add(db, ROWS - 1, kind="filler")
        pass_by(db)
        run(db, kind="filler")
        watch_until_sealed(db)
        asked = vacuumed(superuser_dsn)
        until(lambda: any(f"attempt_log_{no}" in each for each in asked()), 60.0, "a vacuum of the segment")
        assert drop(db) == 1
        assert value(db, "select count(*) from awa.segment where id = %s", no) == 0


@pytest.mark.slow
def test_new_segments_are_made_while_jobs_beside_them_are_vacuumed(
    throttled: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step of that comes before a vacuum of the default partition has ended."""
    dsn, superuser_dsn = throttled
    with connect(dsn, role="test") as db:
        chain.migrate(db)
        small_segments(db, 10, 3)
        monkeypatch.setattr(retire, "MOVE_BYTES_MAX", -(2**40))
        add(db, 4 * ROWS, kind="filler")
        asked = vacuumed(superuser_dsn)
        for made in (1, 1, 2, 1):
            until(lambda: any("job_log_default" in each for each in asked()), 60.0, "a vacuum of the default partition")
            assert retire.extend(db, 10, 2) == made
        (new,) = add(db)
        assert new == value(db, "select end_id from awa.segment where in_default")
