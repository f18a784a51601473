"""Marks: what tells the harness that each job ran, and ran once."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.harness.rivals.marks import Marks

JOBS = 10


@pytest.fixture
def marks(tmp_path: Path) -> Marks:
    return Marks.create(tmp_path / "marks", JOBS)


def test_jobs_are_counted_and_timed(marks: Marks) -> None:
    before = time.monotonic_ns()
    for n in (3, 5):
        marks.run(n)
    assert (marks.done(JOBS), marks.total(JOBS)) == (2, 2)
    assert [n for n, at in enumerate(marks.starts(JOBS)) if at >= before] == [3, 5]


def test_a_job_that_runs_twice_shows(marks: Marks) -> None:
    marks.run(3)
    marks.run(3)
    assert (marks.done(JOBS), marks.total(JOBS)) == (1, 2)


def test_another_process_marks_the_same_array(tmp_path: Path) -> None:
    marks = Marks.create(tmp_path / "marks", JOBS)
    program = "import sys; from benchmarks.harness.rivals.marks import Marks; Marks(sys.argv[1]).run(7)"
    subprocess.run([sys.executable, "-c", program, tmp_path / "marks"], check=True)
    assert marks.has_run(7)


def test_they_are_cleared(marks: Marks) -> None:
    marks.run(1)
    marks.clear(JOBS)
    assert (marks.done(JOBS), marks.starts(JOBS)) == (0, [0] * JOBS)
    with pytest.raises(ValueError, match="room for the marks of 10 jobs"):
        marks.clear(JOBS + 1)


def test_a_job_takes_the_processor_time_it_is_to_take(marks: Marks) -> None:
    before = time.thread_time_ns()
    marks.run(0, burn_ns=2_000_000)
    assert time.thread_time_ns() - before >= 2_000_000
