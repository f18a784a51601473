"""The harness's end of the line to one contender."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.harness.environments import python_of
from benchmarks.harness.rivals.specs import Spec

HARNESS = Path(__file__).resolve().parent
RESPONSE_TIMEOUT_S = 120.0
"""Most answers take less; a contender that takes longer has failed."""
END_S = 20.0


class Failed(Exception):
    """A contender did not do what it was asked to: it is reported so, and takes no further part."""


class Contender:
    """One queue, in a process group of its own, with a database of its own."""

    def __init__(self, spec: Spec, dsn: str, redis: str | None, marks: Path, folder: Path) -> None:
        self.spec = spec
        self.name = spec.name
        self.dsn = dsn
        self.variant: dict[str, Any] = spec.variants[0]
        self.rate: float | None = None
        """Jobs a second, as far as known; what is measured is sized by it."""
        self._log = folder / f"{spec.module}.log"
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PG", "AWA_"))},
            "PYTHONPATH": str(HARNESS),
            "PYTHONDONTWRITEBYTECODE": "1",
            "BENCH_MARKS": str(marks),
            "BENCH_SETTINGS": json.dumps({"dsn": dsn, "redis": redis}),
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [python_of(spec), "-m", f"rivals.{spec.module}", "serve"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )
        self._unread = b""
        hello = self._greet()
        self.versions: dict[str, str] = hello["versions"]
        self._outstanding_sql: str | None = hello["outstanding_sql"]
        self._stored_sql: str | None = hello["stored_sql"]
        self._ignored = 0
        self._connection: psycopg.Connection[Any] | None = None

    def _greet(self) -> Any:
        """Have it say what it is; where it cannot even do that, it is ended."""
        try:
            return self.ask("hello")
        except BaseException:
            self.kill()
            raise

    def ask(self, verb: str, *, timeout_s: float = RESPONSE_TIMEOUT_S, **arguments: Any) -> Any:
        """Have it do something; return its answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
            answer = json.loads(self._read_line(verb, timeout_s))
        except BrokenPipeError as error:
            raise Failed(f"its process has ended: {self.last_words()}") from error
        if "error" in answer:
            raise Failed(f"{verb}: {answer['error']}")
        return answer["answer"]

    def insist_on_life(self) -> None:
        """Raise Failed if worker processes have ended by themselves."""
        if ended := self.ask("ended"):
            raise Failed(f"{ended}: {self.last_words()}")

    @property
    def pid(self) -> int:
        """The process that speaks for it; its workers descend from it."""
        return self._process.pid

    def outstanding(self) -> int:
        """Return how many jobs are not finished."""
        return self._count(self._outstanding_sql) - self._ignored

    def ignore(self, jobs: int) -> None:
        """Note that so many jobs are not meant to be finished."""
        self._ignored = jobs

    def stored(self) -> int:
        """Return how many jobs are there that no worker has begun with, while none is running."""
        return self._count(self._stored_sql)

    def _count(self, query: str | None) -> int:
        if query is None:
            return int(self.ask("outstanding"))
        if self._connection is None:
            self._connection = psycopg.connect(self.dsn, autocommit=True)
        row = self._connection.execute(query.encode()).fetchone()
        return int(row[0]) if row else 0

    def last_words(self) -> str:
        """Return the end of what it wrote to its log."""
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return " | ".join(line.strip() for line in lines[-3:]) or "it said nothing"

    def close(self) -> None:
        """End it and all that it started."""
        if self._connection is not None:
            self._connection.close()
        assert self._process.stdin is not None
        try:
            with suppress(BrokenPipeError, subprocess.TimeoutExpired):
                self._process.stdin.close()
                self._process.wait(END_S)
        finally:
            self.kill()

    def kill(self) -> None:
        """End it at once, and all that it started."""
        with suppress(ProcessLookupError):  # nobody is left of the group
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()

    def _read_line(self, verb: str, timeout_s: float) -> bytes:
        assert self._process.stdout is not None
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._unread:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise Failed(f"{verb}: no answer within {timeout_s:g} s: {self.last_words()}")
            piece = os.read(self._process.stdout.fileno(), 65536)
            if not piece:
                raise Failed(f"{verb}: its process ended: {self.last_words()}")
            self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        return line
