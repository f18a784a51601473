"""Inserting: single inserts beside those into a table of nobody's, and many unique jobs at once.

32 connections insert one job a transaction, each commit waiting for the disk, while no worker is running. The other
side of the comparison inserts the same rows, with the same driver, into a table that has nothing but a primary key.
Both take turns on one server, so that what else the machine does meets both. The ratio is what the queue costs a
producer: its checks, its second index, its partitions, and the look whether somebody is idle.

`Client.insert` is that statement and what Python does before and after it. With as many connections as here it shares
two cores with the server, so it says less about the queue than the ratio does.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import psycopg

from awa import Client
from awa.database.connections import connect
from awa.engine.insert import INSERT, NewJob, parameters
from benchmarks.harness.producers import Step, rate
from benchmarks.harness.report import Figure
from benchmarks.harness.server import fresh_database

CONNECTIONS = 32
SECONDS = 4.0
ARGS = {"n": 0, "text": "x" * 230}
"""Arguments of 250 bytes as JSON."""
PARAMETERS = parameters(NewJob("default", "noop", 2, 25, None, b'{"n":0,"text":"%b"}' % (b"x" * 230), None, None))

_BARE_TABLE = """
    create sequence public.bare_id;
    create table public.bare (like awa.job_log including defaults);
    alter table public.bare alter column id set default nextval('public.bare_id'), add primary key (id)"""
_BARE_INSERT = """
    insert into public.bare (kind, args, queue, priority, run_at, max_attempts, tags, metadata, unique_key,
                             unique_states, ordering_key)
    select %(kind)s::text, %(args)s::text::jsonb, %(queue)s::text, %(priority)s::integer,
           %(run_at)s::text::timestamptz, %(max_attempts)s::integer, %(tags)s::text::text[],
           %(metadata)s::text::jsonb, decode(%(unique_key)s::text, 'hex'), %(unique_states)s::integer,
           decode(%(ordering_key)s::text, 'hex')
    where %(opts)s::text is null
    returning id, 'inserted', 'available', (extract(epoch from created_at) * 1000000)::bigint,
              (extract(epoch from created_at) * 1000000)::bigint, null"""
"""The same parameters and the same columns back, so that the driver does the same."""


def run(rounds: int, jobs: int) -> list[Figure]:
    """Measure single inserts in `rounds` turns on one server, and as often a bulk insert of `jobs` on a fresh one."""
    sides = {"bare": _bare, "awa": _awa, "client": _client}
    rates: dict[str, list[float]] = {name: [] for name in sides}
    with fresh_database() as dsn:
        with connect(dsn, role="benchmark") as connection:
            connection.execute(_BARE_TABLE)
        for _ in range(rounds):
            for name, prepare in sides.items():
                rates[name].append(rate(dsn, prepare, CONNECTIONS, SECONDS))
    ratio = median(rates["awa"]) / median(rates["bare"])
    return [
        Figure(f"a row into a bare table, {CONNECTIONS} connections", "inserts/s", rates["bare"]),
        Figure(f"awa.insert_job, {CONNECTIONS} connections", "inserts/s", rates["awa"]),
        Figure("awa.insert_job beside the bare table", "of its rate", [ratio], 0.6),
        Figure(f"Client.insert, {CONNECTIONS} connections", "inserts/s", rates["client"]),
        Figure(f"insert_many of {jobs:,} unique jobs", "jobs/s", [_many(jobs) for _ in range(rounds)], 30_000),
    ]


def _bare(connection: psycopg.Connection[Any]) -> Step:
    return lambda: connection.execute(_BARE_INSERT, PARAMETERS).fetchone()


def _awa(connection: psycopg.Connection[Any]) -> Step:
    return lambda: connection.execute(INSERT, PARAMETERS).fetchone()


def _client(connection: psycopg.Connection[Any]) -> Step:
    client = Client(connection)
    return lambda: client.insert(ARGS, kind="noop")


def _many(jobs: int) -> float:
    """Return the rate of one bulk insert; all of its jobs are new."""
    with fresh_database() as dsn, Client(dsn) as client:
        began = time.perf_counter()
        many = client.insert_many(({**ARGS, "n": n} for n in range(jobs)), kind="noop", unique_opts={})
        seconds = time.perf_counter() - began
    if many.inserted != jobs:
        raise RuntimeError(f"{jobs} unique jobs given, {many.inserted} inserted")
    return jobs / seconds
