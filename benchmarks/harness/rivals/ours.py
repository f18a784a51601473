"""Awa itself, as its users run it: `awa.Client` and `awa-supervisor`, no setting but the number of processes.

Where a scenario is about many queues or kinds, the application has as many.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import awa
from awa.database.open import connect
from awa.database.schema import chain

from .marks import from_environment
from .protocol import Rival, body, main

_settings = json.loads(os.environ["BENCH_SETTINGS"])
_burn_ns = _settings.get("burn_ns", 0)
_marks = from_environment()

client = awa.Client(_settings["dsn"])


@client.task(kind="noop")
def noop(job: Any) -> None:
    _marks.run(job.args["n"], _burn_ns)


for _at in range(_settings.get("variant", {}).get("kinds", 0)):
    client.task(kind=f"noop_{_at}")(noop)


class Ours(Rival):
    outstanding_sql = (
        "select (select coalesce(sum(cardinality(ids)), 0) from awa.batch) + (select count(*) from awa.deferred)"
    )
    stored_sql = "select count(*) from awa.job_log"

    def prepare(self) -> None:
        with connect(self.dsn, role="benchmark") as connection:
            chain.migrate(connection)

    def bulk(self, numbers: Sequence[int]) -> None:
        client.insert_many((body(n) for n in numbers), kind="noop")

    def inserter(self) -> Callable[[int], Any]:
        own = awa.Client(self.dsn, max_connections=1)
        return lambda n: own.insert(body(n), kind="noop")

    def commands(self) -> list[list[str]]:
        supervisor = str(Path(sys.executable).with_name("awa-supervisor"))
        options = ["--app", "rivals.ours:client", "--processes", str(self.processes), "--log-level", "warning"]
        if many := self.variant.get("queues"):
            options += ["--queues", ",".join(["default", *(f"queue_{at}" for at in range(many))])]
        return [[supervisor, *options]]


if __name__ == "__main__":
    main(Ours)
