"""The demo as a whole: real processes, a real kill, and nothing left behind."""

import signal
import sys
from pathlib import Path

import psycopg
import pytest

from tests.demo.conftest import Start
from tests.fixtures.processes import until_dead
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.processes, pytest.mark.slow]

FILES = 30
ENOUGH_FILES = 120
"""So many that it does not end by itself while a test is about to end it."""


def test_a_worker_is_killed_and_everything_is_done_once(start: Start) -> None:
    demo = start("--files", FILES, "--processes", 2, "--json", DATABASE_URL="postgresql://nobody@nowhere.invalid/prod")
    demo.until_said("ready with 2 workers")
    report = demo.report()
    assert report["holds"]
    assert (report["rows"], report["completed"], report["jobs_lost"], report["rows_written_twice"]) == (
        FILES,
        FILES,
        0,
        0,
    )
    assert len(report["most_complex"]) == 10
    assert 0 < report["kill"]["rescued_s"] <= report["kill"]["recovery_s"]
    assert report["cpu_s"] > 0
    assert demo.leftovers() == []
    until_dead(*demo.family)


def test_a_given_database_keeps_the_rows_and_takes_a_second_run(start: Start, database: str) -> None:
    for _ in range(2):
        start("--files", 20, "--json", "--database-url", database).report()
    with psycopg.connect(database) as connection:
        found = connection.execute("select run, count(*) from awa_demo.files group by run order by run").fetchall()
    assert found == [(1, 20), (2, 20)]


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("database ready", signal.SIGTERM),
        ("ready with 2 workers", signal.SIGINT),
        ("ready with 2 workers", signal.SIGTERM),
        ("SIGKILL to worker", signal.SIGINT),
    ],
)
def test_an_interrupted_demo_tidies_up(start: Start, moment: str, number: int) -> None:
    demo = start("--files", ENOUGH_FILES, "--processes", 2)
    demo.until_said(moment)
    demo.process.send_signal(number)
    code, out, err = demo.end()
    assert code == 130, err
    assert "the demo was interrupted; everything it had started has been stopped and removed" in err
    assert out == ""
    assert demo.leftovers() == []
    until_dead(*demo.family)


def test_a_killed_demo_takes_its_workers_along_and_the_next_one_clears_up(start: Start) -> None:
    demo = start("--files", ENOUGH_FILES, "--processes", 2)
    demo.until_said("SIGKILL to worker")
    demo.process.kill()
    demo.end()
    (left,) = demo.leftovers()
    postmaster = int((demo.ground / left / "postgres" / "data" / "postmaster.pid").read_text().split()[0])
    if sys.platform == "linux":
        until_dead(*(demo.family - _descendants(postmaster)))
    other = start("--files", ENOUGH_FILES, "--processes", 2)
    other.until_said("database ready")
    until_dead(postmaster)
    until(lambda: left not in other.leftovers(), message="the directory of the killed demo is removed")
    other.process.terminate()
    other.end()
    assert other.leftovers() == []


def test_two_demos_at_once_leave_each_other_alone(start: Start) -> None:
    first, second = (start("--files", 20, "--json") for _ in range(2))
    assert first.report()["holds"]
    assert second.report()["holds"]
    assert first.leftovers() == []


def test_an_unreachable_database_is_named(start: Start) -> None:
    demo = start("--database-url", "postgresql://hine:secret@127.0.0.1:1/shop")
    code, out, err = demo.end()
    assert (code, out) == (1, "")
    assert "error: cannot connect to database shop at 127.0.0.1:1 as hine" in err
    assert "secret" not in err
    assert "Traceback" not in err
    assert demo.leftovers() == []


def test_without_the_server_programs_it_says_what_to_install(start: Start, tmp_path: Path) -> None:
    demo = start(AWA_PG_BIN=str(tmp_path))
    code, _, err = demo.end()
    assert code == 1
    assert err.startswith("error: ")
    assert str(tmp_path) in err
    assert demo.leftovers() == []


@pytest.mark.parametrize("args", [("--processes", 1), ("--files", 5), ("--files", "many")])
def test_too_little_is_refused(start: Start, args: tuple[object, ...]) -> None:
    code, _, err = start(*args).end()
    assert code == 2
    assert str(args[0]) in err


def _descendants(pid: int) -> set[int]:
    """A server and its own processes: they survive the demo that started them."""
    import psutil

    return {pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))}
