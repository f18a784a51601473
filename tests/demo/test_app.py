"""The application: its jobs and its rows, run in this process on the test's database."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from awa import Client, JobState
from awa.demo import app, library, tables
from awa.demo.facts import gather
from awa.demo.submit import Run, submit

FILES = {
    "good.py": b"def f(a):\n    return 1 if a else 2\n\n\ndef g(): pass\n",
    "broken.py": b"def f(:\n",
    "deep/er.py": b"x = 1\n",
}


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str) -> Path:
    """A small library in place of Python's, and the demo's client on the test's database."""
    for name, source in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(source)
    monkeypatch.setattr(library, "root", lambda: tmp_path)
    monkeypatch.setattr(app, "client", Client(database))
    monkeypatch.setattr(app.client, "registry", DEMO_REGISTRY)
    return tmp_path


DEMO_REGISTRY = app.client.registry


@pytest.fixture
def admin(connect: Any) -> psycopg.Connection[Any]:
    connection: psycopg.Connection[Any] = connect(autocommit=True)
    tables.create(connection)
    tables.create(connection)  # again: nothing to do
    return connection


def analysed(files: list[str]) -> Run:
    run = submit(app.client, files)
    app.client.work([app.QUEUE])
    return run


def test_each_file_becomes_one_row(top: Path, admin: psycopg.Connection[Any]) -> None:
    run = analysed(sorted(FILES))
    facts = gather(admin, run)
    assert (facts.files, facts.rows, facts.paths, facts.completed, facts.jobs_lost, facts.rows_twice) == (
        3,
        3,
        3,
        3,
        0,
        0,
    )
    assert (facts.unparsable, facts.functions, facts.bytes) == (1, 2, sum(map(len, FILES.values())))
    assert [(f.complexity, f.name, f.place) for f in facts.most_complex] == [
        (2, "f", "good.py:1"),
        (1, "g", "good.py:5"),
    ]
    assert facts.wrong_digests == []
    assert facts.refused_writes == 0


def test_a_changed_file_is_noticed(top: Path, admin: psycopg.Connection[Any]) -> None:
    run = analysed(["good.py"])
    (top / "good.py").write_bytes(b"other")
    assert gather(admin, run).wrong_digests == ["good.py"]


def test_a_file_that_cannot_be_read_is_a_result(top: Path, admin: psycopg.Connection[Any]) -> None:
    run = analysed(["good.py", "gone.py"])
    facts = gather(admin, run)
    assert (facts.rows, facts.completed, facts.unparsable) == (2, 2, 1)
    row = admin.execute("select problem from awa_demo.files where path = 'gone.py'").fetchone()
    assert row is not None
    assert row[0].startswith("FileNotFoundError")


def test_a_second_write_of_a_row_is_refused_and_counted(top: Path, admin: psycopg.Connection[Any]) -> None:
    run = submit(app.client, ["good.py"])
    (job,) = run.paths
    with app.client.transaction() as tx:  # what an attempt had done that was killed before its job counted as done
        assert tables.add_file(tx, run.id, "good.py", job, 1, app.look_at("good.py"))
    app.client.work([app.QUEUE])
    facts = gather(admin, run)
    assert (facts.rows, facts.rows_twice, facts.refused_writes) == (1, 0, 1)
    assert app.client.get_job(job).state is JobState.Completed


def test_the_run_and_its_jobs_are_committed_together(top: Path, admin: psycopg.Connection[Any]) -> None:
    with pytest.raises(Exception, match="surrogate"):
        submit(app.client, ["good.py", "bad\udc80.py"])
    assert admin.execute("select count(*) from awa_demo.runs").fetchone() == (0,)
    assert admin.execute("select count(*) from awa.jobs").fetchone() == (0,)
