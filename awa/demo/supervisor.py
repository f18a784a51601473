"""The demo's supervisor: a real `awa-supervisor` in a process, and a session, of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import Any, Final

import psycopg

from awa.demo.errors import DemoError
from awa.demo.place import Workspace
from awa.processes.parent_death import die_with_parent

COMMAND: Final = (sys.executable, "-c", "from awa.cli.supervise import main; main(prog_name='awa-supervisor')")
"""`awa-supervisor`, whether or not its script is on the path."""
APP: Final = "awa.demo.app:client"
READY_S: Final = 60.0
STOP_S: Final = 40.0
OUTPUT_POLL_S: Final = 0.02
TAIL_LINES: Final = 25
FREE_BYTES_MIN: Final = 10_000_000

WORKERS: Final = """
select w.pid from awa.worker w join awa.node n on n.id = w.node_id where n.pid = %s order by w.id
"""


class Supervisor:
    """The child process. As a context manager it is gone at the end, with all its workers."""

    def __init__(self, place: Workspace, processes: int, app: str = APP) -> None:
        self._log = place.log
        with open(place.log, "wb") as log:
            # Ctrl-C in a terminal reaches a whole process group; in a session of its own the supervisor is left to us.
            self._process = subprocess.Popen(
                [*COMMAND, "--app", app, "--processes", str(processes)],
                cwd=place.directory,  # Python looks there for modules first: it must not be a stranger's directory
                env={**os.environ, "DATABASE_URL": place.dsn},  # not an argument: every user sees those
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509 - there are no threads here
            )
        self.pid = self._process.pid
        self.exit_code: int | None = None

    def wait_ready(self, connection: psycopg.Connection[Any], processes: int) -> None:
        """Wait until so many workers have signed in. Raises DemoError."""
        deadline = monotonic() + READY_S
        while len(self.workers(connection)) < processes:
            self.check()
            if monotonic() > deadline:
                raise DemoError(f"the supervisor's workers were not ready after {READY_S:.0f} s.{self.last_words()}")
            sleep(OUTPUT_POLL_S)

    def workers(self, connection: psycopg.Connection[Any]) -> list[int]:
        """Return the process ids of its workers."""
        return [pid for (pid,) in connection.execute(WORKERS, [self.pid])]

    def check(self) -> None:
        """Raise DemoError if the supervisor has ended by itself."""
        if (code := self._process.poll()) is not None:
            raise DemoError(f"the supervisor ended by itself, with exit code {code}.{self.last_words()}")

    def stop(self) -> int:
        """Ask it to drain, wait until it has, and return its exit code."""
        self._process.terminate()
        try:
            self.exit_code = self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            raise DemoError(f"the supervisor did not stop within {STOP_S:.0f} s.{self.last_words()}") from None
        return self.exit_code

    def last_words(self) -> str:
        """Return the end of its log, for an error message."""
        lines = self._log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return "\nIts last words:\n" + "\n".join(f"  {line}" for line in lines) if lines else ""

    def shortage(self) -> str:
        """Return a sentence if the disk is as good as full, the likeliest reason for everything to stop."""
        free = shutil.disk_usage(self._log.parent).free
        if free > FREE_BYTES_MIN:
            return ""
        return (
            f" The disk is full: {free / 1e6:.0f} MB are free where {self._log.parent} is. Make space, or set TMPDIR."
        )

    def survivors(self, pids: set[int]) -> list[int]:
        """Return what still runs of its session: among all processes or, where they cannot be listed, among `pids`."""
        running = {int(entry.name) for entry in Path("/proc").glob("[0-9]*")} or pids
        return sorted(pid for pid in running if _session_of(pid) == self.pid)

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._end()

    def _end(self) -> None:
        """End it at once. QUIT lets it take its workers along; when it does not, the kernel ends them with it."""
        self._process.send_signal(signal.SIGQUIT)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except (ProcessLookupError, PermissionError):
        return 0
