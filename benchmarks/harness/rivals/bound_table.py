"""Bound: the same rows into a table that has the log's columns and a primary key, and is nobody's queue.

COPY for many at once, INSERT for single ones: what any queue's insert costs at least on this server, with this driver.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from awa.database.open import connect
from awa.database.schema import chain

from .protocol import TEXT, Rival, main

TABLE = """
    create sequence public.bare_id;
    create table public.bare (like awa.job_log including defaults);
    alter table public.bare alter column id set default nextval('public.bare_id'), add primary key (id)"""
COLUMNS = "kind, args, queue, priority, run_at, max_attempts, tags, metadata, unique_key, unique_states, ordering_key"
COPY = f"copy public.bare ({COLUMNS}) from stdin"
INSERT = f"""
    insert into public.bare ({COLUMNS})
    select %(kind)s::text, %(args)s::text::jsonb, %(queue)s::text, %(priority)s::integer,
           %(run_at)s::text::timestamptz, %(max_attempts)s::integer, %(tags)s::text::text[],
           %(metadata)s::text::jsonb, decode(%(unique_key)s::text, 'hex'), %(unique_states)s::integer,
           decode(%(ordering_key)s::text, 'hex')
    returning id, 'inserted', 'available', (extract(epoch from created_at) * 1000000)::bigint,
              (extract(epoch from created_at) * 1000000)::bigint, null"""
"""The parameters of `awa.insert_job` and the columns it returns, so that the driver does the same."""
PARAMETERS: dict[str, Any] = {
    "kind": "noop",
    "args": f'{{"n":0,"text":"{TEXT}"}}',
    "queue": "default",
    "priority": 2,
    "run_at": None,
    "max_attempts": 25,
    "tags": None,
    "metadata": None,
    "unique_key": None,
    "unique_states": None,
    "ordering_key": None,
}


class BoundTable(Rival):
    outstanding_sql = "select count(*) from public.bare"

    def __init__(self) -> None:
        super().__init__()
        self.connection = psycopg.connect(self.dsn, autocommit=True)

    def prepare(self) -> None:
        with connect(self.dsn, role="benchmark") as connection:
            chain.migrate(connection)
            connection.execute(TABLE)

    def bulk(self, numbers: Sequence[int]) -> None:
        lines = (
            f'noop\t{{"n":{n},"text":"{TEXT}"}}\tdefault\t2\t\\N\t25\t\\N\t\\N\t\\N\t\\N\t\\N\n'.encode()
            for n in numbers
        )
        with self.connection.cursor() as cursor, cursor.copy(COPY) as copy:
            for line in lines:
                copy.write(line)

    def inserter(self) -> Callable[[int], Any]:
        connection = psycopg.connect(self.dsn, autocommit=True)
        return lambda n: connection.execute(INSERT, PARAMETERS, prepare=True).fetchone()


if __name__ == "__main__":
    main(BoundTable)
