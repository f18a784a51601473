"""The title other people see in ps."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest
import setproctitle

from awa.processes.title import Title
from tests.fixtures.processes import ROOT

pytestmark = pytest.mark.processes

PROGRAM = """
import sys
from awa.processes.title import Title
Title("worker 2").show("running resize_image")
print("shown", flush=True)
sys.stdin.read()
"""


def test_the_title_is_what_others_see() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "shown\n"
        assert psutil.Process(process.pid).cmdline()[0] == "awa: worker 2 running resize_image"


def test_only_a_change_costs_something(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr(setproctitle, "setproctitle", shown.append)
    title = Title("worker 2")
    for doing in ("idle", "idle", "running a", "idle", ""):
        title.show(doing)
    assert shown == ["awa: worker 2 idle", "awa: worker 2 running a", "awa: worker 2 idle", "awa: worker 2"]
