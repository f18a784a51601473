"""What a server has counted: WAL, commits, rows changed, dead rows, sizes."""

from __future__ import annotations

from typing import Any, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict


class Counters(NamedTuple):
    """Running totals of one database; the WAL is that of the whole server."""

    wal: float
    commits: float
    churn: float
    """Rows updated and deleted."""

    def since(self, before: Counters) -> Counters:
        """Return what was added."""
        return Counters(*(now - then for now, then in zip(self, before, strict=True)))


class Bulk(NamedTuple):
    """How large the tables of a database are at one moment."""

    dead: int
    """Dead rows, as far as the statistics know them."""
    table_bytes: int
    index_bytes: int


_COUNTERS = """
    select pg_current_wal_lsn() - '0/0'::pg_lsn, xact_commit from pg_stat_database where datname = %(name)s"""
_CHURN = "select coalesce(sum(n_tup_upd + n_tup_del), 0) from pg_stat_user_tables"
_BULK = """
    select coalesce(sum(n_dead_tup), 0)::bigint, coalesce(sum(pg_table_size(relid)), 0)::bigint,
           coalesce(sum(pg_indexes_size(relid)), 0)::bigint
    from pg_stat_user_tables"""


def counters(admin: psycopg.Connection[Any], dsn: str) -> Counters:
    """Return the totals of the database in `dsn`, those of sessions that have ended included."""
    name = conninfo_to_dict(dsn)["dbname"]
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("select pg_stat_force_next_flush()")
        (churn,) = connection.execute(_CHURN).fetchone() or (0,)
    wal, commits = admin.execute(_COUNTERS, {"name": name}).fetchone() or (0, 0)
    return Counters(float(wal), float(commits), float(churn))


def bulk(connection: psycopg.Connection[Any]) -> Bulk:
    """Return how large the tables of the connected database are now."""
    row = connection.execute(_BULK).fetchone()
    assert row is not None
    return Bulk(*map(int, row))
