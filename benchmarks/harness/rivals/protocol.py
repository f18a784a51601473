"""The contender's end of the line: read a verb, do it, answer. Standard library only."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from threading import Thread
from typing import Any

from .marks import Marks, from_environment

TEXT = "x" * 230
PIECE = 1_000
"""How many jobs a contender that has no COPY is given at once."""
PROCESSES = 4
"""Processes that insert single jobs, each with its share of the connections."""
STOP_S = 15.0


def body(n: int) -> dict[str, Any]:
    """Return the arguments of job number `n`: 250 bytes as JSON."""
    return {"n": n, "text": TEXT}


class Rival(ABC):
    """One queue. What is not here is the same for all."""

    outstanding_sql: str | None = None
    """Counts the jobs that are not finished; None: `outstanding` does."""
    stored_sql: str | None = None
    """Counts the jobs that are there while no worker runs, where that is another statement."""

    def __init__(self) -> None:
        settings = json.loads(os.environ["BENCH_SETTINGS"])
        self.dsn: str = settings["dsn"]
        self.redis: str | None = settings["redis"]
        self.variant: dict[str, Any] = settings.get("variant", {})
        self.processes: int = settings.get("processes", 1)
        self.burn_ns: int = settings.get("burn_ns", 0)
        self.marks: Marks = from_environment()
        self.uncounted = self.marks.capacity - 1
        """The number of jobs that nobody counts."""
        self._children: list[subprocess.Popen[str]] = []
        self._insert: Callable[[int], Any] | None = None

    # What a queue says of itself

    @abstractmethod
    def prepare(self) -> None:
        """Make the tables."""

    @abstractmethod
    def bulk(self, numbers: Sequence[int]) -> None:
        """Insert these jobs, committed when this returns."""

    @abstractmethod
    def inserter(self) -> Callable[[int], Any]:
        """Return what inserts one job over a connection of its own, committed when it returns."""

    def work(self) -> None:
        """Run jobs until told to end by SIGTERM; the whole life of a worker process."""
        raise TypeError(f"{type(self).__name__} starts its workers neither by work() nor by other commands()")

    def outstanding(self) -> int:
        """Return how many jobs are not finished, where no SQL says it."""
        raise TypeError(f"{type(self).__name__} has neither outstanding_sql nor outstanding()")

    def commands(self) -> list[list[str]]:
        """Return the commands that start `self.processes` worker processes."""
        return [self.myself("work")] * self.processes

    def versions(self) -> dict[str, str]:
        """Return the versions of the packages in use."""
        from importlib.metadata import distributions

        return {each.metadata["Name"]: each.version for each in distributions()}

    # The verbs

    def serve(self) -> None:
        """Answer until the harness closes the line."""
        verbs: dict[str, Callable[..., Any]] = {
            "hello": self._hello,
            "prepare": self.prepare,
            "bulk": self._bulk,
            "single": self._single,
            "singles": self._singles,
            "produce": self._produce,
            "pickups": self._pickups,
            "start": self._start,
            "stop": self.stop,
            "ended": self._ended,
            "outstanding": self.outstanding,
        }
        try:
            for line in sys.stdin:
                asked = json.loads(line)
                try:
                    answer = {"answer": verbs[asked.pop("verb")](**asked)}
                except Exception as error:  # noqa: BLE001 — whatever a rival raises is what is to be reported
                    traceback.print_exc()
                    answer = {"error": f"{type(error).__name__}: {error}"}
                print(json.dumps(answer), file=_answers, flush=True)
        finally:
            self.stop()

    def _hello(self) -> dict[str, Any]:
        return {
            "outstanding_sql": self.outstanding_sql,
            "stored_sql": self.stored_sql or self.outstanding_sql,
            "versions": self.versions(),
        }

    def _bulk(self, first: int, count: int) -> float:
        began = time.perf_counter()
        self.bulk(range(first, first + count))
        return time.perf_counter() - began

    def _single(self, n: int) -> int:
        if self._insert is None:
            self._insert = self.inserter()
        self.wait(self._insert(n))
        return time.monotonic_ns()

    def _pickups(self, first: int, pauses: list[float]) -> list[int]:
        """Insert one job after each pause, await its run; return when each insert was done."""
        return [self._pickup(first + i, pause) for i, pause in enumerate(pauses)]

    def _pickup(self, n: int, pause: float) -> int:
        time.sleep(pause)
        inserted = self._single(n)
        deadline = time.monotonic() + 30
        while not self.marks.has_run(n):
            if time.monotonic() > deadline:
                raise TimeoutError(f"job {n} has not run within 30 s of its insert")
            time.sleep(0.001)
        return inserted

    def _produce(self, first: int, count: int, piece: int, rate: float | None) -> list[list[int]]:
        """Insert `count` jobs by the piece, `rate` a second (None: flat out); return when each piece was there."""
        pieces = []
        began = time.monotonic()
        for at in range(0, count, piece):
            if rate:
                time.sleep(max(0.0, began + at / rate - time.monotonic()))
            numbers = range(first + at, first + min(at + piece, count))
            self.bulk(numbers)
            pieces.append([numbers.start, len(numbers), time.monotonic_ns()])
        return pieces

    def _singles(self, connections: int, seconds: float, warm_up_s: float) -> float:
        """Return how many single inserts a second so many connections do together."""
        shares = [connections // PROCESSES + (i < connections % PROCESSES) for i in range(PROCESSES)]
        producers = [
            subprocess.Popen(
                self.myself("produce", str(share)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for share in shares
            if share
        ]
        for producer in producers:
            _line_of(producer)  # its connections are made
        begin = time.monotonic() + warm_up_s
        for producer in producers:
            assert producer.stdin is not None
            print(begin, begin + seconds, file=producer.stdin, flush=True)
        outputs = [producer.communicate()[0] for producer in producers]
        if any(producer.returncode for producer in producers):
            raise RuntimeError("a producer failed; what it raised is in the log")
        return sum(int(output) for output in outputs) / seconds

    def produce(self, connections: int, times: Callable[[], tuple[float, float]]) -> int:
        """Insert single jobs over so many connections, between two times that are known when all connections are made;
        return how many, all of them together."""
        done = [0] * connections
        inserters = [self.inserter() for _ in range(connections)]
        for insert in inserters:
            insert(self.uncounted)  # the first one may connect, or prepare its statement
        begin, end = times()

        def run(at: int) -> None:
            while time.monotonic() < begin:
                inserters[at](self.uncounted)
            while time.monotonic() < end:
                inserters[at](self.uncounted)
                done[at] += 1

        threads = [Thread(target=run, args=(at,)) for at in range(connections)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.checked(done)

    def checked(self, done: list[int]) -> int:
        """Return the sum; raise RuntimeError if a connection did nothing, for it has failed."""
        if not all(done):
            raise RuntimeError(f"{done.count(0)} of {len(done)} connections inserted nothing")
        return sum(done)

    def wait(self, answer: Any) -> Any:
        """Return what an insert returns, when it does."""
        return answer

    # Worker processes

    def _start(self, processes: int, variant: dict[str, Any], burn_ns: int) -> None:
        self.processes, self.variant, self.burn_ns = processes, variant, burn_ns
        settings = json.loads(os.environ["BENCH_SETTINGS"])
        settings.update(processes=processes, variant=variant, burn_ns=burn_ns)
        environment = {**os.environ, "BENCH_SETTINGS": json.dumps(settings)}
        self.before_start()
        self._children = [
            subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr, text=True)
            for command in self.commands()
        ]

    def before_start(self) -> None:  # noqa: B027 - most have nothing to do
        """Whatever has to be set before the workers start."""

    def stop(self) -> None:
        """End the worker processes."""
        for child in self._children:
            child.send_signal(signal.SIGTERM)
        for child in self._children:
            try:
                child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._children = []

    def _ended(self) -> str | None:
        """Return what is known of worker processes that have ended though nobody told them to."""
        codes = [child.returncode for child in self._children if child.poll() is not None]
        return f"worker processes ended with {codes}" if codes else None

    def myself(self, *arguments: str) -> list[str]:
        """Return the command that runs this contender in another role."""
        return [sys.executable, "-m", sys.modules["__main__"].__spec__.name, *arguments]


class AsyncRival(Rival):
    """One whose API is asynchronous: the methods named `a…` are what it says of itself."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)

    @abstractmethod
    async def aprepare(self) -> None:
        """As `prepare`."""

    @abstractmethod
    async def abulk(self, numbers: Sequence[int]) -> None:
        """As `bulk`."""

    @abstractmethod
    async def ainserter(self) -> Callable[[int], Awaitable[Any]]:
        """As `inserter`."""

    @abstractmethod
    async def awork(self, until: asyncio.Event) -> None:
        """As `work`: run jobs until the event is set."""

    def prepare(self) -> None:
        self.wait(self.aprepare())

    def bulk(self, numbers: Sequence[int]) -> None:
        self.wait(self.abulk(numbers))

    def inserter(self) -> Callable[[int], Any]:
        made: Callable[[int], Any] = self.wait(self.ainserter())
        return made

    def work(self) -> None:
        until = asyncio.Event()
        self.loop.add_signal_handler(signal.SIGTERM, until.set)
        self.wait(self.awork(until))

    def wait(self, answer: Any) -> Any:
        return self.loop.run_until_complete(answer)

    def produce(self, connections: int, times: Callable[[], tuple[float, float]]) -> int:
        async def run(insert: Callable[[int], Awaitable[Any]], begin: float, end: float) -> int:
            done = 0
            while time.monotonic() < begin:
                await insert(self.uncounted)
            while time.monotonic() < end:
                await insert(self.uncounted)
                done += 1
            return done

        async def all_of_them() -> list[int]:
            inserters = [await self.ainserter() for _ in range(connections)]
            for insert in inserters:
                await insert(self.uncounted)
            begin, end = times()
            return await asyncio.gather(*(run(insert, begin, end) for insert in inserters))

        return self.checked(self.wait(all_of_them()))


_answers = sys.stdout


def main(rival: type[Rival]) -> None:
    """Be one of the three kinds of process a contender consists of."""
    global _answers
    # What a library prints must not be taken for an answer.
    _answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    role, *arguments = sys.argv[1:]
    contender = rival()
    if role == "serve":
        contender.serve()
    elif role == "work":
        contender.work()
    else:

        def times() -> tuple[float, float]:
            print("ready", file=_answers, flush=True)
            begin, end = map(float, sys.stdin.readline().split())
            return begin, end

        print(contender.produce(int(arguments[0]), times), file=_answers, flush=True)
        os._exit(0)  # open pools and loops of a producer have nothing left to do


def _line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    if not (line := process.stdout.readline()):
        raise RuntimeError("a producer ended before it had begun; what it raised is in the log")
    return line
