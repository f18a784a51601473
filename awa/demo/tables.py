"""The application's own tables, in the same database as the queue."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any, Final

import psycopg

from awa.demo.analysis import Analysis
from awa.enqueue.transaction import SyncTransaction

LOCK: Final = 4715290
"""Two demos may start on one database at once, and `if not exists` alone does not stand that."""

SCHEMA: Final = """
create schema if not exists awa_demo;
create table if not exists awa_demo.runs (
  id         bigint generated always as identity primary key,
  started_at timestamptz not null default now(),
  python     text not null,
  files      integer not null
);
create table if not exists awa_demo.files (
  run       bigint not null,
  path      text not null,
  job       bigint not null,
  attempt   integer not null,
  size      bigint not null,
  packed    bigint not null,
  digest    text not null,
  lines     integer not null,
  functions jsonb not null,
  problem   text,
  pid       integer not null
);
create index if not exists files_of_a_run on awa_demo.files (run, path);
"""

INSERT: Final = """
insert into awa_demo.files (run, path, job, attempt, size, packed, digest, lines, functions, problem, pid)
select $1::bigint, $2::text, $3::bigint, $4::int, $5::bigint, $6::bigint, $7::text, $8::int, $9::jsonb, $10::text,
       $11::int
where not exists (select from awa_demo.files where run = $1::bigint and path = $2::text)
"""
"""A job killed after its row was committed finds it there. Two workers in one job at once would not see each other's:
on purpose there is no key that would keep such a second row out, for the report counts them."""


def create(connection: psycopg.Connection[Any]) -> None:
    """Create what is missing. Nothing is ever dropped: the database may be the user's own."""
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", [LOCK])
        connection.execute(SCHEMA.encode())


def add_run(tx: SyncTransaction, python: str, files: int) -> int:
    """Note that a run begins; return its number."""
    row = tx.fetch_one("insert into awa_demo.runs (python, files) values ($1, $2) returning id", python, files)
    return int(row["id"])


def add_file(tx: SyncTransaction, run: int, path: str, job: int, attempt: int, analysis: Analysis) -> bool:
    """Write a file's row; return False when it is there already.

    A job may run twice: it is killed after its row was committed and before the queue learned that it had finished. So
    the row has a key that a second write cannot pass.
    """
    return bool(
        tx.execute(
            INSERT,
            run,
            path,
            job,
            attempt,
            analysis.size,
            analysis.packed,
            analysis.digest,
            analysis.lines,
            {"functions": [asdict(function) for function in analysis.functions]},
            analysis.problem,
            os.getpid(),
        )
    )
