"""The stream: a producer that never tires. Everything it commits has a row in the ledger, in the same transaction."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any, Final

import awa
from awa.engine.insert.direct_batches import JOBS_MIN
from awa.errors import AwaError, DatabaseError, OutcomeUnknown, StateConflict
from tests.chaos.config import Config
from tests.chaos.server import Server

LOOK_S: Final = 0.02
BACKLOG_MAX: Final = 3000
"""With more than this waiting, the producer waits too."""
BACKLOG_LOOK_S: Final = 1.0
KINDS: Final = {
    "quick": 80.0,
    "work": 8.0,
    "flaky": 4.0,
    "parent": 4.0,
    "once": 10.0,
    "long": 0.5,
    "spawn": 2.0,
    "suicide": 0.3,
    "overdue": 0.5,
    "stubborn": 0.2,
    "doomed": 0.5,
    "sleepy": 3.0,
}
WAYS: Final = {"one": 70.0, "scheduled": 6.0, "bulk": 2.0, "flood": 0.2, "rollback": 4.0, "cancel": 4.0}


class Stream:
    """Inserts jobs from a thread of its own, at a rate, until `end`."""

    def __init__(self, server: Server, config: Config) -> None:
        self.acknowledged: set[str] = set()
        """Jobs whose commit the server has confirmed."""
        self.rolled_back: set[str] = set()
        """Jobs that must not exist."""
        self.cancelled: set[int] = set()
        """Jobs whose cancellation the server has confirmed."""
        self.lost_answers = 0
        """Transactions of which nobody knows how they ended."""
        self._server = server
        self._client = awa.Client(server.dsn, max_connections=4)
        self._rate = config.jobs_per_s
        self._draw = random.Random(f"stream {config.seed}")
        self._numbers = itertools.count(1)
        self._guard = threading.Lock()
        self._stopping = threading.Event()
        self._stumbled: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="stream", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self) -> None:
        """Insert nothing more. Raises what the producer stumbled over: nothing but DatabaseError is expected."""
        self._stopping.set()
        self._thread.join(60)
        self._client.close()
        if self._stumbled is not None:
            raise self._stumbled

    def insert(self, kind: str) -> None:
        """Insert one job, apart from the rate. From any thread."""
        self._commit([self._job(kind)])

    def note_cancelled(self, jobs: Iterable[int]) -> None:
        """Record jobs whose cancellation the server has confirmed. From any thread."""
        with self._guard:
            self.cancelled.update(jobs)

    def _run(self) -> None:
        try:
            self._produce()
        except Exception as error:
            self._stumbled = error

    def _produce(self) -> None:
        budget, before, look_at = 0.0, time.monotonic(), 0.0
        while not self._stopping.wait(LOOK_S):
            now = time.monotonic()
            budget, before = min(budget + (now - before) * self._rate, 2 * self._rate), now
            if now >= look_at:
                look_at = now + BACKLOG_LOOK_S
                if self._is_full():
                    budget = 0.0
            while budget >= 1 and not self._stopping.is_set():
                budget -= self._once()

    def _once(self) -> int:
        """Insert something; return how many jobs."""
        way = self._draw.choices(list(WAYS), list(WAYS.values()))[0]
        if way == "flood":  # of one kind, and so many that they are batched
            jobs = [self._job("quick") for _ in range(JOBS_MIN + self._draw.randint(0, 50))]
        else:
            count = self._draw.randint(5, 60) if way == "bulk" else 1
            jobs = [self._job(self._draw.choices(list(KINDS), list(KINDS.values()))[0]) for _ in range(count)]
        run_at = None
        if way == "scheduled":
            run_at = datetime.now(timezone.utc) + timedelta(seconds=self._draw.uniform(0.2, 3))
        ids = self._commit(jobs, run_at=run_at, roll_back=way == "rollback")
        if way == "cancel" and ids:
            self._cancel(ids[0])
        return len(jobs)

    def _job(self, kind: str) -> tuple[str, dict[str, Any]]:
        """A job: its kind, and arguments with a name of its own."""
        with self._guard:
            args: dict[str, Any] = {"n": f"p{next(self._numbers)}"}
            if kind == "long":
                return "work", {**args, "ms": self._draw.randint(2000, 5000)}
            if kind in ("work", "spawn"):
                args["ms"] = self._draw.randint(50, 500 if kind == "work" else 1500)
            if kind == "once":
                die = self._draw.choice(["before", "inside", "after"]) if self._draw.random() < 0.1 else ""
                return kind, {**args, "ms": self._draw.randint(0, 50), "own": self._draw.random() < 0.3, "die": die}
            if kind == "flaky":
                args["times"] = self._draw.choice([1, 1, 2])
            return kind, args

    def _commit(
        self, jobs: list[tuple[str, dict[str, Any]]], *, run_at: Any = None, roll_back: bool = False
    ) -> list[int]:
        """Insert jobs with their rows in the ledger; return their ids if that is certain."""
        names = {args["n"] for _, args in jobs}
        if roll_back:
            self.rolled_back |= names
        ids: list[int] = []
        try:
            with self._client.transaction() as tx:
                for kind, args in jobs:
                    tx.execute("insert into chaos.ledger (n, kind) values ($1, $2)", args["n"], kind)
                for kind in {kind for kind, _ in jobs}:
                    mine = [args for its, args in jobs if its == kind]
                    if len(mine) > 1:
                        tx.insert_many(mine, kind=kind, run_at=run_at)
                    else:
                        ids.append(tx.insert(mine[0], kind=kind, run_at=run_at).id)
                if roll_back:
                    tx.rollback()
        except (DatabaseError, OutcomeUnknown):
            self.lost_answers += 1
            return []
        if not roll_back:
            self.acknowledged |= names
        return [] if roll_back else ids

    def _cancel(self, job: int) -> None:
        """Cancel a job a moment later; it may have ended, or be in the middle of something."""
        if self._draw.random() < 0.5:
            time.sleep(self._draw.uniform(0, 0.1))
        try:
            self._client.cancel(job)
        except StateConflict:
            return
        except (DatabaseError, OutcomeUnknown):
            self.lost_answers += 1
        else:
            self.note_cancelled([job])

    def _is_full(self) -> bool:
        try:
            return sum(each.available for each in self._client.queue_stats()) > BACKLOG_MAX
        except AwaError:
            return False
