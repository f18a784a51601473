"""Runs of the demo whose directories nobody else uses."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fixtures.processes import ROOT, is_alive
from tests.fixtures.run import places

Start = Callable[..., "DemoProcess"]


class DemoProcess:
    """`awa demo` in a process of its own, with a directory for temporary files to itself."""

    def __init__(self, ground: Path, *args: object, **env: str) -> None:
        self.ground = ground
        self.family: set[int] = set()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "awa", "demo", *map(str, args)],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(ground), **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until_said(self, text: str) -> None:
        """Wait until it says something, and note which processes there are by then."""
        assert self.process.stderr
        heard = []
        for line in self.process.stderr:
            heard.append(line)
            if text in line:
                self.family |= {child.pid for child in psutil.Process(self.process.pid).children(recursive=True)}
                return
        raise AssertionError(f"it never said {text!r}: {''.join(heard)}")

    def end(self, timeout: float = 120) -> tuple[int, str, str]:
        """Wait for its end; return the exit code and what it wrote to standard output and error."""
        out, err = self.process.communicate(timeout=timeout)
        return self.process.returncode, out, err

    def report(self) -> dict[str, Any]:
        """Wait for its end, which has to be a good one, and return the report it printed as JSON."""
        code, out, err = self.end()
        assert code == 0, f"{err}\n{out}"
        report: dict[str, Any] = json.loads(out)
        return report

    def leftovers(self) -> list[str]:
        """The files it has left."""
        return [str(path.relative_to(self.ground)) for path in self.ground.iterdir()]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts demos: `start("--files", 20, DATABASE_URL=…)`. Those of one test share a directory."""
    ground = Path(tempfile.mkdtemp(prefix="awa-ground-", dir=places()[0]))
    ground.chmod(0o755)
    started: list[DemoProcess] = []

    def run(*args: object, **env: str) -> DemoProcess:
        started.append(DemoProcess(ground, *args, **env))
        return started[-1]

    yield run
    for demo in started:
        for pid in (demo.process.pid, *demo.family):
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        demo.process.communicate()
    shutil.rmtree(ground)
