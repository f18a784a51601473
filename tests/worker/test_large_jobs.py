"""Large jobs are read shortly before they start, and small ones in one statement."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg
import pytest

from awa.database.open import connect
from awa.engine import claim
from awa.task.registry import Registry
from awa.worker.contents import Contents
from awa.worker.inline import work
from tests.engine.helpers import KIND, add_sealed, state

pytestmark = pytest.mark.postgres

Connection = psycopg.Connection[Any]


class Reads:
    """The statements that read bodies, as they are sent: of how many jobs each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bodies: list[int] = []
        self.contents: list[list[int]] = []
        self._bodies, self._contents = claim.bodies, claim.contents
        monkeypatch.setattr(claim, "bodies", self._read_bodies)
        monkeypatch.setattr(claim, "contents", self._read_contents)

    def _read_bodies(self, connection: Connection, ids: Sequence[int]) -> dict[int, claim.StoredJob]:
        self.bodies.append(len(ids))
        return self._bodies(connection, ids)

    def _read_contents(self, connection: Connection, ids: Sequence[int]) -> dict[int, tuple[bytes, bytes | None]]:
        self.contents.append(list(ids))
        return self._contents(connection, ids)


def registered(handler: Any) -> Registry:
    """A registry with a handler for the helpers' kind."""
    registry = Registry()
    registry.add(handler, None, KIND, "default")
    return registry


def add_large(database: str, jobs: int, size: int = 1_000, **said: Any) -> list[int]:
    """Insert jobs with arguments of about `size` bytes each."""
    with connect(database, role="test") as db:
        return [
            add_sealed(db, args=f'{{"n": {n}, "text": "{"x" * size}"}}'.encode(), metadata=b'{"m": 1}', **said)[0]
            for n in range(jobs)
        ]


def test_small_jobs_are_read_in_one_statement_a_lease(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(database, role="test") as db:
        add_sealed(db, 1000, args=b'{"text": "' + b"x" * 250 + b'"}')
    reads = Reads(monkeypatch)
    assert work(database, registered(lambda job: None), None) == 1000
    assert sum(reads.bodies) >= 1000  # what an early end of a lease hands back is read again
    assert reads.contents == []


def test_large_jobs_are_read_slice_by_slice(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = add_large(database, 12)
    monkeypatch.setattr(claim, "READ_BYTES_MAX", 2_500)
    reads, met = Reads(monkeypatch), list[tuple[int, int, int, Any]]()
    handler = registered(lambda job: met.append((job.id, job.args["n"], len(job.args["text"]), job.metadata)))
    assert work(database, handler, None) == 12
    assert met == [(job, n, 1_000, {"m": 1}) for n, job in enumerate(jobs)]
    # Two fit into a slice, so each statement begins two jobs behind the one before, in a lease of many.
    begun = [ids[0] for ids in reads.contents]
    assert 3 <= len(begun) < 12
    assert len(set(begun)) == len(begun)


def test_a_job_that_is_deleted_before_it_is_read_ends_and_others_go_on(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = add_large(database, 6)
    monkeypatch.setattr(claim, "READ_BYTES_MAX", 100)
    with connect(database, role="test") as db:

        def handler(job: Any) -> None:
            db.execute("delete from awa.job_log where id = %s", [jobs[4]])

        work(database, registered(handler), None)
        ends = dict(db.execute("select job_id, outcome from awa.attempt_log").fetchall())
    assert ends == {job: 5 if job == jobs[4] else 3 for job in jobs}


def test_a_job_whose_arguments_the_server_refuses_fails_alone(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = add_large(database, 6)
    monkeypatch.setattr(claim, "READ_BYTES_MAX", 2_500)
    read = claim.contents

    def refuse(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[bytes, bytes | None]]:
        found = read(connection, ids)
        if jobs[3] in found:
            connection.execute("select repeat('x', 1000000000) || repeat('x', 1000000000)")
        return found

    monkeypatch.setattr(claim, "contents", refuse)
    work(database, registered(lambda job: None), None)
    with connect(database, role="test") as db:
        assert [state(db, job) for job in jobs] == ["failed" if job == jobs[3] else "completed" for job in jobs]
        (error,) = db.execute("select errors[1] ->> 'error' from awa.jobs where id = %s", [jobs[3]]).fetchone() or ("",)
    assert error.startswith("the server cannot send the job's arguments: ")


def test_one_that_is_too_late_is_not_read(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    soon = datetime.now(timezone.utc) + timedelta(hours=1)
    first, late, last = add_large(database, 3, expires_at=soon)
    with connect(database, role="test") as db:
        db.execute("update awa.job_log set expires_at = now() - interval '1 s' where id = %s", [late])
    monkeypatch.setattr(claim, "READ_BYTES_MAX", 100)
    reads, met = Reads(monkeypatch), list[int]()
    work(database, registered(lambda job: met.append(job.id)), None)
    assert met == [first, last]
    assert late not in [ids[0] for ids in reads.contents]


def test_contents_forget_what_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[list[int]]()

    def read(connection: Any, ids: Sequence[int]) -> dict[int, tuple[bytes, None]]:
        asked.append(list(ids))
        return dict.fromkeys(ids[:2], (b"{}", None))

    monkeypatch.setattr(claim, "contents", read)
    contents, connection = Contents(), Any
    contents.begin([1, 2, 3, 4, 5])
    assert contents.take(connection, 1) == (b"{}", None)  # type: ignore[arg-type]
    assert contents.take(connection, 4) == (b"{}", None)  # type: ignore[arg-type]
    assert contents.take(connection, 5) == (b"{}", None)  # type: ignore[arg-type]
    assert asked == [[1, 2, 3, 4, 5], [4, 5]]
