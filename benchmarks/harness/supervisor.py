"""A real `awa-supervisor` process to measure."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from awa.database.open import connect

ROOT = Path(__file__).resolve().parents[2]
START_S = 30.0
STOP_S = 30.0


@contextmanager
def supervisor(
    dsn: str, processes: int, env: Mapping[str, str] | None = None, log_level: str = "warning"
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a supervisor with `processes` workers; it is ready to claim when this yields, and drained afterwards.

    One that the scenario has killed meanwhile is left at that.
    """
    command = [str(Path(sys.executable).with_name("awa-supervisor")), "--app", "benchmarks.harness.app:client"]
    process = subprocess.Popen(
        [*command, "--processes", str(processes), "--log-level", log_level],
        env={**os.environ, "DATABASE_URL": dsn, "PYTHONPATH": str(ROOT), **(env or {})},
        cwd=ROOT,
    )
    try:
        _await_workers(dsn, processes, process)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_S)


def until(condition: Callable[[], bool], timeout_s: float, what: str, every_s: float = 0.02) -> None:
    """Wait until `condition` holds; raise TimeoutError after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {timeout_s:g} s: {what}")
        time.sleep(every_s)


def resident_mb(pid: int) -> float:
    """Return the resident memory of one process in MB (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/{pid}/status has no VmRSS")


def _await_workers(dsn: str, processes: int, process: subprocess.Popen[bytes]) -> None:
    with connect(dsn, role="benchmark") as connection:
        before = connection.execute("select coalesce(max(id), 0) from awa.worker").fetchone()

        def ready() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"the supervisor ended with code {process.returncode}")
            row = connection.execute("select count(*) from awa.worker where id > %s", before).fetchone()
            return bool(row and row[0] >= processes)

        until(ready, START_S, f"{processes} workers signed in")
