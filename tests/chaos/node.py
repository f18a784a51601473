"""A node: one awa-supervisor behind a proxy of its own, started again and again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.chaos.config import Config
from tests.fixtures.tcpproxy import TcpProxy

ROOT = Path(__file__).parents[2]
SKEW = Path(__file__).parent / "skew"
COMMAND = "from awa.cli.supervise import main; main()"


@dataclass
class Life:
    """One supervisor process of a node, from start to end."""

    log: Path
    pid: int
    began: float
    skew_s: int
    code: int | None = None

    def lines(self) -> Iterator[dict[str, Any]]:
        """What it and its workers have logged."""
        with self.log.open(errors="replace") as file:
            for line in file:
                with contextlib.suppress(ValueError):
                    yield json.loads(line)

    def other_lines(self) -> list[str]:
        """What they have written that is no log line: Python's last words, for example."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if line and line[0] != "{"]


class Node:
    """Its processes have `directory` as their working directory: by that they are found, whoever their parent is."""

    def __init__(self, index: int, dsn: str, directory: Path, config: Config) -> None:
        self.index = index
        self.directory = directory
        self.proxy = TcpProxy.to(dsn)
        self.lives: list[Life] = []
        self.skew_s = 0
        """What its clock will be wrong by at its next start."""
        self._config = config
        self._process: psutil.Popen | None = None
        directory.mkdir()

    def start(self) -> None:
        """Start the supervisor."""
        config, log = self._config, self.directory.parent / f"node{self.index}-{len(self.lives)}.log"
        arguments = {
            "--app": "tests.chaos.app:client",
            "--processes": config.workers,
            "--heartbeat-interval-s": config.heartbeat_s,
            "--leader-interval-s": config.leader_s,
            "--drain-timeout-s": config.drain_timeout_s,
            "--segment-age-h": 0.01,
            "--retention-completed-h": config.retention_h,
            "--retention-failed-h": config.retention_h,
            "--log-format": "json",
        }
        with log.open("wb") as file:
            self._process = psutil.Popen(
                [sys.executable, "-c", COMMAND, *(str(word) for pair in arguments.items() for word in pair)],
                cwd=self.directory,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self.lives.append(Life(log, self._process.pid, time.time(), self.skew_s))
        self.skew_s = 0

    def ended(self) -> bool:
        """Whether there is no supervisor running. Notes how the last one ended."""
        if self._process is None:
            return True
        code = self._process.poll()
        if code is not None:
            self.lives[-1].code = code
        return code is not None

    def supervisor(self) -> psutil.Process | None:
        """The supervisor, if it runs."""
        return None if self.ended() else self._process

    def forkservers(self) -> list[psutil.Process]:
        """Those that run: two during a reload."""
        return self._generations()[0]

    def workers(self) -> list[psutil.Process]:
        """Those that run."""
        return self._generations()[1]

    def send(self, number: signal.Signals) -> bool:
        """Send the supervisor a signal; False when it is gone."""
        supervisor = self.supervisor()
        if supervisor is None:
            return False
        with contextlib.suppress(psutil.NoSuchProcess):
            supervisor.send_signal(number)
            return True
        return False

    def family(self) -> list[psutil.Process]:
        """Every process of this node, of whichever generation."""
        return [process for process in psutil.process_iter() if _works_in(process, self.directory)]

    def close(self) -> None:
        """Kill whatever is left."""
        for process in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        if self._process is not None:
            self._process.wait()
            self.ended()
        self.proxy.close()

    def _environment(self) -> dict[str, str]:
        path = [str(SKEW)] if self.skew_s else []
        inherited = [os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else []
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWA_")},
            "PYTHONPATH": os.pathsep.join([*path, str(ROOT), *inherited]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "DATABASE_URL": self.proxy.dsn,
            "CHAOS_SKEW_S": str(self.skew_s),
        }

    def _generations(self) -> tuple[list[psutil.Process], list[psutil.Process]]:
        supervisor = self.supervisor()
        if supervisor is None:
            return [], []
        try:
            children = supervisor.children()
            return children, [worker for child in children for worker in child.children()]
        except psutil.NoSuchProcess:
            return [], []


def _works_in(process: psutil.Process, directory: Path) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(directory))
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False
