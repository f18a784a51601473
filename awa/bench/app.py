"""The application: one task that does nothing. `awa-supervisor --app awa.bench.app:client` runs it."""

from __future__ import annotations

from typing import Final

import awa

KIND: Final = "awa_bench_noop"
QUEUE: Final = "awa-bench"

client = awa.Client()
"""Its database is `$DATABASE_URL`."""


@client.task(kind=KIND, queue=QUEUE)
def noop(job: awa.Job) -> None:
    """Do nothing: what is left is the queue's own cost."""
