"""Reads the facts from the database when all is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from blake3 import blake3

from awa.demo import library
from awa.demo.submit import Run

FILES: Final = """
select count(*), count(distinct path), coalesce(sum(size), 0)::bigint, coalesce(sum(packed), 0)::bigint,
       coalesce(sum(lines), 0)::bigint, count(*) filter (where problem is not null),
       coalesce(sum(jsonb_array_length(functions -> 'functions')), 0)::bigint
from awa_demo.files where run = %s
"""

JOBS: Final = """
select count(*) filter (where state = 'completed'),
       count(*) filter (where state in ('completed', 'failed', 'cancelled')),
       count(*) filter (where state = 'completed' and not (result ->> 'is_first_write')::boolean)
from awa.jobs where id = any (%s)
"""

ATTEMPTS: Final = """
select coalesce(sum(cpu_s), 0)::float8,
       extract(epoch from max(finished_at) - (select started_at from awa_demo.runs where id = %s))::float8
from awa.attempts where job_id = any (%s)
"""

MOST_COMPLEX: Final = """
select (f ->> 'complexity')::int, (f ->> 'lines')::int, f ->> 'name', path || ':' || (f ->> 'line')
from awa_demo.files, jsonb_array_elements(functions -> 'functions') as f
where run = %s order by 1 desc, 2 desc, path limit 10
"""

DIGESTS: Final = "select path, digest from awa_demo.files where run = %s"


@dataclass(frozen=True)
class ComplexFunction:
    """One of the most complex functions."""

    complexity: int
    lines: int
    name: str
    place: str
    """Path and line."""


@dataclass(frozen=True)
class Facts:
    """The facts of a run, read back."""

    files: int
    """Number of files to analyse."""
    rows: int
    paths: int
    """Different ones among the rows."""
    bytes: int
    packed_bytes: int
    lines: int
    unparsable: int
    functions: int
    completed: int
    ended: int
    refused_writes: int
    """Times that a job found its row written already, by an attempt that was killed later."""
    cpu_s: float
    """Spent in jobs."""
    elapsed_s: float
    """Time from the start of the inserting transaction to the end of the last job."""
    most_complex: list[ComplexFunction]
    wrong_digests: list[str]
    """Files whose row has another digest than the file."""

    @property
    def jobs_lost(self) -> int:
        """Jobs that were inserted and have not come to an end."""
        return self.files - self.ended

    @property
    def rows_twice(self) -> int:
        """Rows beyond the first of a file."""
        return self.rows - self.paths

    @property
    def jobs_per_s(self) -> float:
        """Files analysed per second."""
        return self.completed / self.elapsed_s if self.elapsed_s else 0.0


def gather(connection: psycopg.Connection[Any], run: Run) -> Facts:
    """Read everything back."""
    ids = list(run.paths)
    rows, paths, size, packed, lines, unparsable, functions = _row(connection, FILES, run.id)
    completed, ended, refused = _row(connection, JOBS, ids)
    cpu_s, elapsed_s = _row(connection, ATTEMPTS, run.id, ids)
    most_complex = [ComplexFunction(*row) for row in connection.execute(MOST_COMPLEX, [run.id])]
    return Facts(
        files=len(ids),
        rows=rows,
        paths=paths,
        bytes=size,
        packed_bytes=packed,
        lines=lines,
        unparsable=unparsable,
        functions=functions,
        completed=completed,
        ended=ended,
        refused_writes=refused,
        cpu_s=cpu_s,
        elapsed_s=elapsed_s or 0.0,
        most_complex=most_complex,
        wrong_digests=_wrong_digests(connection, run),
    )


def _wrong_digests(connection: psycopg.Connection[Any], run: Run) -> list[str]:
    root = library.root()
    rows = connection.execute(DIGESTS, [run.id])
    return [path for path, digest in rows if digest != _digest(root / path)]


def _digest(path: Path) -> str:
    """Return the digest a job should have found; nothing for a file that cannot be read."""
    try:
        return blake3(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _row(connection: psycopg.Connection[Any], statement: str, *parameters: Any) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = connection.execute(statement.encode(), parameters).fetchone()
    assert row is not None  # all of these are sums: they always have a row
    return row
