"""Each scenario, as small as it can be: it runs, it tells all its figures, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.harness.report import load
from benchmarks.scenarios import SCENARIOS
from tests.fixtures.processes import ROOT, until_dead
from tests.fixtures.run import places
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.processes, pytest.mark.slow]

TIMEOUT_S = 300
TINY = ["--rounds", "1", "--seconds", "0.2", "--rivals", "skip locked"]
JOBS = {"recovery": 1, "memory": 20, "queues": 1_200}
"""Of the others a hundred and some."""


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Path]:
    """A folder for temporary files whose path is short enough for a socket, and open to the server's user."""
    path = Path(tempfile.mkdtemp(prefix="awa-ground-", dir=places()[0]))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def start(ground: Path, *args: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks", *args, "--results", str(ground / "results")],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(ground)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("name", SCENARIOS)
def test_it_runs_and_tells_its_figures(name: str, ground: Path) -> None:
    with start(ground, name, "--jobs", str(JOBS.get(name, 120)), *TINY) as running:
        said, _ = running.communicate(timeout=TIMEOUT_S)
    assert running.returncode == 0, said  # of so few jobs, goals say nothing, and none is asked for
    (path,) = (ground / "results").glob("*.json")
    results, about = load(path)
    figures = results[name].figures
    assert figures
    assert [figure.name for figure in figures if not figure.values or figure.error] == []
    assert all(figure.name in said for figure in figures)
    assert about["settings"]["fsync"] == "on"
    assert [path.name for path in ground.iterdir() if path.name != "results"] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_is_interrupted_tidies_up(number: int, ground: Path) -> None:
    with start(ground, "together", "--jobs", "300", *TINY) as running:
        family: set[int] = set()

        def at_work() -> bool:
            family.update(child.pid for child in psutil.Process(running.pid).children(recursive=True))
            return any("rivals" in " ".join(_command(pid)) for pid in family)

        until(at_work, 60)
        running.send_signal(number)
        said, _ = running.communicate(timeout=TIMEOUT_S)
    assert "interrupted; everything that was started has been stopped and removed" in said
    assert list(ground.iterdir()) == []
    until_dead(*family)


def _command(pid: int) -> list[str]:
    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []
