"""The story of one demo, from an empty directory to a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import psycopg

from awa.client.client import Client
from awa.database.open import connect
from awa.database.schema import chain
from awa.demo import checks, facts, library, place, tables
from awa.demo.checks import Check
from awa.demo.errors import DemoError
from awa.demo.kill import Killer
from awa.demo.place import Workspace
from awa.demo.progress import progress, say
from awa.demo.report import DemoReport
from awa.demo.submit import Run, submit
from awa.demo.supervisor import Supervisor
from awa.demo.watch import Watch


@dataclass(frozen=True)
class DemoOptions:
    """The options of the demo."""

    processes: int
    files: int | None = None
    """Only so many files, the largest; None: all."""
    database_url: str | None = None
    """A database to use; None: an embedded one, which is gone afterwards."""


@dataclass(frozen=True)
class Told:
    """The facts after everything has been stopped."""

    facts: facts.Facts
    killer: Killer
    checks: list[Check]


def tell(options: DemoOptions) -> DemoReport:
    """Run a demo and return what came of it. Raises AwaError when it cannot be carried through."""
    began = monotonic()
    files = choose(options.files)
    with place.opened(options.database_url, say) as here:
        say(f"database ready after {monotonic() - began:.1f} s: {_kind_of_database(options)}")
        with connect(here.dsn, role="demo") as connection:
            chain.migrate(connection)
            tables.create(connection)
            told = work(here, connection, options.processes, files)
    ending = [Check("no file is left", not here.directory.exists(), f"still there: {here.directory}")]
    return DemoReport(
        told.facts,
        options.processes,
        told.killer.last,
        len(told.killer.kills),
        told.checks + ending,
        monotonic() - began,
    )


def choose(limit: int | None) -> list[str]:
    """Return the files to analyse. Raises DemoError when there are none."""
    top = library.root()
    files = library.source_files(top)
    if not files:
        raise DemoError(f"there are no Python source files in {top}: this Python comes without its library's sources")
    return files if limit is None else library.largest(top, files, limit)


def work(here: Workspace, connection: psycopg.Connection[Any], processes: int, files: list[str]) -> Told:
    """Start a supervisor, hand in the jobs, watch them, stop it, and look at what is there."""
    with Supervisor(here, processes) as supervisor, Client(here.dsn) as client:
        supervisor.wait_ready(connection, processes)
        pids = set(supervisor.workers(connection))
        say(f"supervisor {supervisor.pid} ready with {processes} workers")
        run = submit(client, files)
        say(f"{len(files):,} jobs inserted, in one transaction with the run's own row; analysing {library.root()}")
        killer = Killer(supervisor.pid, run.id, sizes_of(run))
        with progress(len(files)) as shown:
            Watch(connection, run, supervisor, killer, shown).until_done()
        pids |= set(supervisor.workers(connection))
        exit_code = supervisor.stop()
    found = facts.gather(connection, run)
    return Told(
        found,
        killer,
        [
            *checks.of_the_work(found),
            *checks.of_the_kill(connection, killer.last),
            *checks.of_the_processes(exit_code, supervisor.survivors(pids)),
        ],
    )


def sizes_of(run: Run) -> dict[int, int]:
    """Return the size of each job's file, in bytes."""
    top: Path = library.root()
    return {job: (top / path).stat().st_size for job, path in run.paths.items()}


def _kind_of_database(options: DemoOptions) -> str:
    return "the given one" if options.database_url else "embedded PostgreSQL, for this run only"
