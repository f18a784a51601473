"""Handing in the work: the run's own row and one job a file, together or not at all."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from awa.client.client import Client
from awa.demo import tables
from awa.demo.app import KIND, QUEUE, AnalyseFile


@dataclass(frozen=True)
class Run:
    """One run of the analysis."""

    id: int
    paths: dict[int, str]
    """The file of each job."""


def submit(client: Client, files: list[str]) -> Run:
    """Insert a run and its jobs in one transaction. Workers see none of them before it commits."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    with client.transaction() as tx:
        run = tables.add_run(tx, python, len(files))
        inserted = tx.insert_many((AnalyseFile(run, path) for path in files), kind=KIND, queue=QUEUE)
    return Run(run, dict(zip(inserted.ids, files, strict=True)))
