"""`python -m tests.chaos` as a program: its report, its exit code, and what is left of it after Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.fixtures.processes import ROOT
from tests.fixtures.run import VARIABLE
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.postgres, pytest.mark.processes, pytest.mark.slow]


def start(temporary: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start a run of its own, which knows nothing of this test run."""
    env = {name: value for name, value in os.environ.items() if name != VARIABLE}
    command = [sys.executable, "-m", "tests.chaos", "--seed", "5", "--every", "0.4", "--heartbeat", "0.5", *arguments]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**env, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_run_that_passes_reports_and_leaves_nothing(tmp_path: Path) -> None:
    process = start(tmp_path, "--minutes", "0.03", "--faults", "worker_kill,hup")
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert said.startswith("chaos: seed 5,")
    assert said.rstrip().endswith("everything holds")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_everything_and_keeps_the_logs(tmp_path: Path) -> None:
    process = start(tmp_path, "--minutes", "10")
    until(lambda: list(tmp_path.glob("*/node0-0.log")), 60, "a node starts")
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    kept = re.search(r"seed 5: the logs are in (.+)", said)
    assert kept, said
    assert {"node0-0.log", "server.log"} <= {path.name for path in Path(kept[1]).iterdir()}
    assert [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE] == []
