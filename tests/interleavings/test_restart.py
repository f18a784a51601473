"""A prepared producer outlives its server; the leader must know it again."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from awa import embedded
from awa.database import connections, schema
from awa.engine import retire
from awa.engine.seal import seal
from tests.engine.helpers import Connection, add, all_in, small_segments
from tests.fixtures.postgres import SETTINGS


def open_one(server: embedded.Server) -> Connection:
    return connections.connect(server.dsn, role="test")


def close_all_that_can(db: Connection) -> int:
    for _ in range(4):
        retire.watch(db)
    return seal(db).floor


@pytest.fixture
def home(embedded_server: object) -> Iterator[Path]:
    """A place for a server of the test's own, which its user can reach even when the tests run as root."""
    with tempfile.TemporaryDirectory(prefix="awa-restart-") as name:
        Path(name).chmod(0o711)
        yield Path(name) / "home"


@pytest.mark.slow
@pytest.mark.postgres
def test_a_producer_prepared_before_a_restart_still_holds_its_segment(home: Path) -> None:
    with embedded.start(home, settings=SETTINGS) as server, open_one(server) as db:
        schema.migrate(db)
        small_segments(db, 10)
        with psycopg.connect(server.dsn) as late:
            (job,) = late.execute("insert into awa.job_log (kind) values ('work') returning id").fetchone() or ()
            add(db, 12)
            assert close_all_that_can(db) == 1
            late.execute("prepare transaction 'late'")
        assert close_all_that_can(db) == 1
    with embedded.start(home, settings=SETTINGS) as server, open_one(server) as db:
        assert close_all_that_can(db) == 1
        db.execute("commit prepared 'late'")
        assert seal(db, 1).jobs == 1
        assert all_in(db, "ready", [job])
        assert close_all_that_can(db) == 11
