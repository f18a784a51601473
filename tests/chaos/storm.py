"""The run: fleet and stream start, faults are injected as planned, all is worked off, and judged."""

from __future__ import annotations

import random
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg

from tests.chaos import invariants, logs, recovery
from tests.chaos.config import Config
from tests.chaos.fault import NoTarget
from tests.chaos.faults import FAULTS
from tests.chaos.figures import FIGURES
from tests.chaos.fleet import Fleet
from tests.chaos.invariants import Verdict
from tests.chaos.recovery import Injected, Times
from tests.chaos.schedule import Planned, plan
from tests.chaos.server import Server
from tests.chaos.stream import Stream

AT_ONCE_MAX: Final = 12
"""Faults that may be under way at the same time."""
READY_S: Final = 60.0
LEFTOVERS_S: Final = 10.0


@dataclass(frozen=True)
class Outcome:
    """What became of a run."""

    config: Config
    injected: list[Injected]
    verdicts: list[Verdict]
    times: list[Times]
    figures: dict[str, int]
    lost_answers: int

    @property
    def passed(self) -> bool:
        """Whether every invariant holds."""
        return all(verdict.holds for verdict in self.verdicts)


class Storm:
    """One run: `run`, then `close` whatever happened."""

    def __init__(
        self, config: Config, server: Path, log_directory: Path, say: Callable[[str], None], bin_dir: Path | None = None
    ) -> None:
        """Args:
        server: where the database goes, in a directory that the server's user can pass through.
        log_directory: where the nodes write; it exists.
        say: told how it goes.
        bin_dir: PostgreSQL's programs; by default they are looked for.
        """
        self.config = config
        self.say = say
        self.server = Server(server, bin_dir)
        try:
            self.fleet = Fleet(self.server.dsn, log_directory, config)
            self.stream = Stream(self.server, config)
        except BaseException:
            self.server.stop()
            raise
        self._began = 0.0
        self._injected: list[Injected] = []
        self._stumbles: list[str] = []
        self._ending = threading.Event()

    def insert(self, kind: str) -> None:
        """Add one job to the stream."""
        self.stream.insert(kind)

    def note_cancelled(self, jobs: Iterable[int]) -> None:
        """Record jobs whose cancellation the server has confirmed."""
        self.stream.note_cancelled(jobs)

    def run(self) -> Outcome:
        """Do it all."""
        self.fleet.start()
        self.stream.start()
        if not self._until(READY_S, self._is_up):
            raise RuntimeError(f"the fleet is not up after {READY_S:g} s; its logs say why: {self.fleet.logs}")
        self._inject()
        self.stream.end()
        self.fleet.calm()
        self.say("the faults are over; working off what is left")
        self._until(self.config.settle_s, self._is_worked_off)
        stubborn = self.fleet.end()
        return self._judge(stubborn)

    def close(self) -> None:
        """End everything."""
        self._ending.set()
        self.fleet.calm()
        self.fleet.close()
        self.server.stop()

    # Injecting

    def _inject(self) -> None:
        planned = plan(self.config.seed, self.config.seconds, self.config.every_s, self._weights())
        self._began = time.time()
        start = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE_MAX, thread_name_prefix="fault") as pool:
            for each in planned:
                self._ending.wait(max(0.0, start + each.at_s - time.monotonic()))
                pool.submit(self._do, each)
            self._ending.wait(max(0.0, start + self.config.seconds - time.monotonic()))

    def _weights(self) -> dict[str, float]:
        kinds = self.config.kinds or tuple(FAULTS)
        return {kind: FAULTS[kind].weight for kind in kinds}

    def _do(self, planned: Planned) -> None:
        began = time.time()
        try:
            hit = FAULTS[planned.kind].act(self, random.Random(planned.seed))
        except NoTarget:
            return
        except Exception:
            self._stumbles.append(f"{planned.kind}: {traceback.format_exc()}")
            return
        self._injected.append(Injected(planned.kind, began, time.time(), hit))
        if len(self._injected) % 50 == 0:
            self.say(f"{len(self._injected)} faults after {time.time() - self._began:.0f} s")

    # Waiting

    def _until(self, seconds: float, is_true: Callable[[psycopg.Connection[Any]], bool]) -> bool:
        """Wait until something is true in the database; False when that takes too long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                with self.server.connect() as connection:
                    while time.monotonic() < deadline:
                        if is_true(connection):
                            return True
                        time.sleep(0.25)
            except psycopg.OperationalError:
                time.sleep(0.1)
        return False

    def _is_up(self, connection: psycopg.Connection[Any]) -> bool:
        return self._count(connection, "select count(*) from awa.worker") >= self.config.nodes * self.config.workers

    def _is_worked_off(self, connection: psycopg.Connection[Any]) -> bool:
        """Every job has ended, and of the nodes that were lost nothing is left. Back-offs are not waited for."""
        connection.execute("update awa.deferred set run_at = now() where run_at > now() + interval '1 s'")
        nodes = self._count(connection, "select count(*) from awa.node")
        jobs = self._count(connection, "select count(*) from chaos.ledger")
        ended = self._count(connection, "select count(distinct job) from chaos.attempt where outcome in (3, 5, 6)")
        return nodes == self.config.nodes and ended >= jobs

    def _count(self, connection: psycopg.Connection[Any], query: str) -> int:
        ((value,),) = connection.execute(query.encode()).fetchall()
        return int(value)

    # Judging

    def _judge(self, stubborn: list[str]) -> Outcome:
        deadline = time.monotonic() + LEFTOVERS_S
        while (leftovers := self.fleet.leftovers()) and time.monotonic() < deadline:
            time.sleep(0.1)
        lives = [life for node in self.fleet.nodes for life in node.lives]
        with self.server.connect() as connection:
            verdicts = [
                *invariants.of_database(connection),
                *invariants.of_producer(
                    connection, self.stream.acknowledged, self.stream.rolled_back, self.stream.cancelled
                ),
                *invariants.of_system(connection, leftovers, stubborn),
                *logs.judged(lives),
                Verdict("the driver itself works", self._stumbles),
            ]
            times = recovery.measure(connection, self._injected, self.fleet.nodes)
            counted = {name: self._count(connection, query) for name, query in FIGURES.items()}
        return Outcome(
            self.config, self._injected, verdicts, times, counted | logs.counted(lives), self.stream.lost_answers
        )
