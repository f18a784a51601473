"""Bound: the engine's own SQL, claim and settle in one round trip, around a loop that does nothing for a job.

What `ours` adds to it is the worker: running a handler, its time limit, its measurements, the board. The bodies are
fetched, as they must be, and not decoded: the number of a job is cut out of it.
"""

from __future__ import annotations

import signal
import time
from typing import Any

import psycopg

from awa.database.open import connect
from awa.database.pipeline import pipeline
from awa.engine import claim, nodes, seal, settle
from awa.engine.claim import FROM_THE_START, Claimed, LaneRequest
from awa.job.attempt import Settlement
from awa.job.model import JobState
from awa.worker.lease_size import BATCHES_MAX, LEASE_JOBS_MAX

from .ours import Ours
from .protocol import main


class BoundEngine(Ours):
    def commands(self) -> list[list[str]]:
        return [self.myself("work")] * self.processes

    def work(self) -> None:
        stopped: list[int] = []
        signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
        with connect(self.dsn, role="benchmark") as connection:
            node = nodes.register_node(connection, "bound", ["noop"])
            worker = nodes.register_worker(connection, node)
            assert worker is not None
            loop = _Loop(connection, worker)
            while not stopped:
                for n in loop.step():
                    self.marks.run(n)
            loop.settle()
            nodes.leave_node(connection, node)


class _Loop:
    def __init__(self, connection: psycopg.Connection[Any], worker: int) -> None:
        self._connection = connection
        self._worker = worker
        self._done: list[Settlement] = []
        self._starts: dict[int, str] = {}

    def step(self) -> list[int]:
        """Settle the last lease, claim the next one; return the numbers of its jobs."""
        lanes = claim.lanes(self._connection, ["noop"]) if not self._starts else []
        self._starts.update({lane.id: FROM_THE_START for lane in lanes})
        claimed = self._settle_and_claim()
        if not claimed.leases:
            self._starts.clear()
            if not seal.seal(self._connection).jobs:
                time.sleep(0.01)
            return []
        self._starts.update({lease.lane: lease.sort_at for lease in claimed.leases})
        ids = [job for lease in claimed.leases for job in lease.ids]
        bodies = claim.bodies(self._connection, ids)
        now = time.time_ns() // 1000
        self._done = [Settlement(job, JobState.Completed, now, now, 0, 0, -1, None) for job in ids]
        return [_number(bodies[job].args) for job in ids]

    def settle(self) -> None:
        """Settle what is left."""
        settle.settle(self._connection, self._worker, self._done)

    def _settle_and_claim(self) -> Claimed:
        wants = [LaneRequest(lane, start, 1.0) for lane, start in self._starts.items()]
        done, self._done = self._done, []
        with pipeline(self._connection) as pipe:
            settled = settle.send_settle(pipe, self._worker, done) if done else None
            answer = claim.send_claim(pipe, self._worker, wants, budget_us=LEASE_JOBS_MAX, batches_max=BATCHES_MAX)
        if settled:
            settle.read_settle(settled)
        return claim.read_claim(answer)


def _number(args: bytes) -> int:
    """Return n of {"n": n, "text": …}."""
    return int(args[args.index(b":") + 1 : args.index(b",")])


if __name__ == "__main__":
    main(BoundEngine)
