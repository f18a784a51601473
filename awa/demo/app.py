"""The application: a client and one task. `awa-supervisor --app awa.demo.app:client` runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import awa
from awa.demo import library, tables
from awa.demo.analysis import Analysis, analyse, describe

KIND: Final = "awa_demo_analyse_file"
QUEUE: Final = "awa-demo"

client = awa.Client()
"""Its database is `$DATABASE_URL`."""


@dataclass
class AnalyseFile:
    """Analyse one file of the standard library."""

    run: int
    path: str
    """Relative to the standard library."""


@client.task(AnalyseFile, kind=KIND, queue=QUEUE)
def analyse_file(job: awa.Job) -> dict[str, bool]:
    """Analyse a file and write its row, in a transaction of the application's own."""
    args: AnalyseFile = job.args
    analysis = look_at(args.path)
    with client.transaction() as tx:
        is_first = tables.add_file(tx, args.run, args.path, job.id, job.attempt, analysis)
    return {"is_first_write": is_first}


def look_at(path: str) -> Analysis:
    """Return what is known of a file; one that cannot be read is a result, too."""
    try:
        return analyse((library.root() / path).read_bytes())
    except OSError as error:
        return Analysis(size=0, packed=0, digest="", lines=0, functions=[], problem=describe(error))
