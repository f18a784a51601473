"""Celery: its default pool of forked processes, with Redis as the broker and no result backend."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from celery import Celery

from .marks import from_environment
from .protocol import Rival, body, main

_settings = json.loads(os.environ["BENCH_SETTINGS"])
_marks = from_environment()
_burn_ns = _settings.get("burn_ns", 0)

app = Celery("bench", broker=f"redis+socket://{_settings['redis']}")
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,  # at least once, as all the others: by default a job is lost with its worker
    worker_prefetch_multiplier=_settings.get("variant", {}).get("prefetch", 4),
    broker_connection_retry_on_startup=True,
)


@app.task(name="noop")
def noop(n: int, text: str) -> None:
    _marks.run(n, _burn_ns)


class CeleryRedis(Rival):
    def prepare(self) -> None:
        app.control.purge()

    def bulk(self, numbers: Sequence[int]) -> None:
        with app.producer_pool.acquire(block=True) as producer:
            for n in numbers:
                noop.apply_async(kwargs=body(n), producer=producer)

    def inserter(self) -> Callable[[int], Any]:
        producer = app.amqp.Producer(app.connection())
        return lambda n: noop.apply_async(kwargs=body(n), producer=producer)

    def commands(self) -> list[list[str]]:
        command = [sys.executable, "-m", "celery", "--app", "rivals.celery_redis:app", "worker"]
        return [[*command, "--concurrency", str(self.processes), "--loglevel", "WARNING", "--pool", "prefork"]]

    def outstanding(self) -> int:
        with app.connection_for_read() as connection:
            client = connection.default_channel.client
            return int(client.llen("celery")) + int(client.hlen("unacked"))


if __name__ == "__main__":
    main(CeleryRedis)
