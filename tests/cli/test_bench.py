"""`awa bench` measures with real workers, and says so when it cannot."""

import json

import psycopg
import pytest

from tests.cli.conftest import Run

pytestmark = [pytest.mark.processes, pytest.mark.slow]


def test_it_measures_on_a_given_database(awa: Run, database: str) -> None:
    done = awa("bench", "--jobs", 200, "--processes", 1, "--json", "--database-url", database)
    report = json.loads(done.stdout)
    assert (report["jobs"], report["processes"]) == (200, 1)
    assert report["settings"].keys() == {"server_version", "fsync", "synchronous_commit"}
    assert min(report["insert_many_per_s"], report["insert_per_s"], report["drain_per_s"]) > 0
    assert 0 <= report["pickup_p50_ms"] <= report["pickup_p99_ms"]
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "select count(*), count(*) filter (where state = 'completed'), array_agg(distinct queue) from awa.jobs"
        ).fetchone()
    assert row is not None
    jobs, completed, queues = row
    assert jobs == completed > 300
    assert queues == ["awa-bench"]


def test_a_database_without_the_schema_is_refused(awa: Run, empty_database: str) -> None:
    assert "awa migrate" in awa("bench", "--database-url", empty_database, code=1).stderr
