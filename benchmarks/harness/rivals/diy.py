"""What people write themselves: a table, `FOR UPDATE SKIP LOCKED`, an UPDATE when a job is done; psycopg, no library.

Well written, that is: a partial index, jobs claimed and finished by the hundred, prepared statements, COPY for bulk.
It has no retries, priorities, time limits, heartbeats or rescue: what a dead worker held stays taken.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from .protocol import Rival, body, main

TABLE = """
    create table if not exists job (
        id bigint generated always as identity primary key,
        args jsonb not null,
        state text not null default 'available',
        created_at timestamptz not null default now(),
        finished_at timestamptz
    );
    create index if not exists job_available on job (id) where state = 'available'"""
CLAIM = """
    update job set state = 'running'
    from (select id from job where state = 'available' order by id limit %(many)s for update skip locked) as next
    where job.id = next.id
    returning job.id, job.args"""
FINISH = "update job set state = 'completed', finished_at = now() where id = any (%(ids)s)"


class Diy(Rival):
    outstanding_sql = "select count(*) from job where state <> 'completed'"

    def __init__(self) -> None:
        super().__init__()
        self.connection = psycopg.connect(self.dsn, autocommit=True)

    def prepare(self) -> None:
        self.connection.execute(TABLE)

    def bulk(self, numbers: Sequence[int]) -> None:
        with self.connection.cursor() as cursor, cursor.copy("copy job (args) from stdin") as copy:
            for n in numbers:
                copy.write_row([json.dumps(body(n))])

    def inserter(self) -> Callable[[int], Any]:
        connection = psycopg.connect(self.dsn, autocommit=True)
        return lambda n: connection.execute(
            "insert into job (args) values (%s) returning id", [json.dumps(body(n))], prepare=True
        ).fetchone()

    def work(self) -> None:
        stopped: list[int] = []
        signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
        while not stopped:
            if not self._step(self.variant["batch"]):
                time.sleep(0.05)

    def _step(self, many: int) -> bool:
        """Claim so many jobs, run and finish them; return whether there were any."""
        jobs = self.connection.execute(CLAIM, {"many": many}, prepare=True).fetchall()
        for _, args in jobs:
            self.marks.run(args["n"], self.burn_ns)
        if jobs:
            self.connection.execute(FINISH, {"ids": [job for job, _ in jobs]}, prepare=True)
        return bool(jobs)


if __name__ == "__main__":
    main(Diy)
