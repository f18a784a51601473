"""`import awa` in a web process stays light: what only the supervisor or the command line needs is not loaded."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = (
    "click",
    "opentelemetry",
    "croniter",
    "setproctitle",
    "blake3",
    "awa.supervisor",
    "awa.worker.loop",
    "awa.cli",
    "awa.embedded",
)
MODULES_MAX = 450
"""Generous: psycopg, its pool, msgspec and the standard library they use. Measured with the whole client: about 300."""


def loaded_by(statement: str) -> set[str]:
    """Return the modules a fresh interpreter has after `statement` that it had not before."""
    code = (
        f"import sys, json\nbefore = set(sys.modules)\n{statement}\nprint(json.dumps([*sys.modules.keys() - before]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def heavy(modules: set[str]) -> list[str]:
    """Return those of `modules` that are, or lie in, one of the heavy ones."""
    return sorted(name for name in modules if any(f"{name}.".startswith(f"{part}.") for part in HEAVY))


def test_the_heavy_parts_are_not_loaded() -> None:
    loaded = loaded_by("import awa")
    assert heavy(loaded) == []
    assert len(loaded) < MODULES_MAX, sorted(loaded)


def test_nor_are_they_when_the_client_is_used() -> None:
    loaded = loaded_by("import awa\nfor name in dir(awa): getattr(awa, name)")
    assert heavy(loaded) == []
    assert len(loaded) < MODULES_MAX, sorted(loaded)


def test_a_supervisor_starts_to_load_the_application_before_it_loads_the_driver_for_itself() -> None:
    loaded = loaded_by(
        "from awa.cli.supervise import main\n"
        "from awa.processes.forkserver import ForkServer\n"
        "def start(*_, **__): raise InterruptedError\n"
        "ForkServer.start = start\n"
        "try: main(['--app', 'app:client'], standalone_mode=False)\n"
        "except InterruptedError: pass\n"
        "else: raise AssertionError('nothing was started')"
    )
    assert "awa.supervisor.boot" in loaded
    assert not {"psycopg", "awa.supervisor.start", "awa.cli.group"} & loaded
