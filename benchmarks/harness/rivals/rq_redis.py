"""RQ: Redis, and a worker that forks for every job (`Worker`) or runs it in itself (`SimpleWorker`)."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import Any

from redis import Redis
from rq import Queue, SimpleWorker, Worker

from .marks import from_environment
from .protocol import PIECE, Rival, body, main

_marks = from_environment()
_burn_ns = json.loads(os.environ["BENCH_SETTINGS"]).get("burn_ns", 0)


def noop(n: int, text: str) -> None:
    _marks.run(n, _burn_ns)


class RqRedis(Rival):
    def __init__(self) -> None:
        super().__init__()
        self.connection = self._connect()
        self.queue = Queue("bench", connection=self.connection)

    def _connect(self) -> Redis:
        return Redis(unix_socket_path=self.redis, db=1)

    def prepare(self) -> None:
        self.queue.empty()

    def bulk(self, numbers: Sequence[int]) -> None:
        for at in range(0, len(numbers), PIECE):
            self.queue.enqueue_many(
                [Queue.prepare_data("rivals.rq_redis.noop", kwargs=body(n)) for n in numbers[at : at + PIECE]]
            )

    def inserter(self) -> Callable[[int], Any]:
        queue = Queue("bench", connection=self._connect())
        return lambda n: queue.enqueue("rivals.rq_redis.noop", kwargs=body(n))

    def work(self) -> None:
        kind = SimpleWorker if self.variant["in_process"] else Worker
        kind([self.queue], connection=self.connection).work(logging_level="WARNING")

    def outstanding(self) -> int:
        return int(self.queue.count) + int(self.queue.started_job_registry.count)


if __name__ == "__main__":
    main(RqRedis)
