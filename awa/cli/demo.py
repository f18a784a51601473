"""`awa demo`: see it work on something real, with a worker killed half-way."""

from __future__ import annotations

import click

from awa.cli.failures import Refused
from awa.cli.interruptible import interruptible
from awa.cli.output import json_option, say, show_json
from awa.processes.cpus import available_cpus

PROCESSES_MIN = 2
"""One is killed: another has to be there."""
PROCESSES_DEFAULT_MAX = 8
FILES_MIN = 20
"""With fewer files the work is done before a worker can be killed in the middle of it."""


@click.command()
@click.option(
    "--processes",
    type=click.IntRange(PROCESSES_MIN, 64),
    metavar="N",
    help="Number of workers, at least 2. Left out: one per available CPU, up to 8.",
)
@click.option(
    "--files", type=click.IntRange(FILES_MIN), metavar="N", help="Only the N largest files, at least 20. Left out: all."
)
@click.option(
    "--database-url",
    metavar="URL",
    help="A database to use; it gets the schemas awa and awa_demo and keeps them. Left out, whatever the environment "
    "says: an embedded one, gone afterwards.",
)
@json_option
def demo(processes: int | None, files: int | None, database_url: str | None, as_json: bool) -> None:
    """Analyse every file of Python's standard library, kill a worker half-way, and check that nothing is lost.

    Starts a database and awa-supervisor, inserts a job per file, and prints a report. Everything it starts is stopped
    and removed again. Exits with 0 only if all its checks hold.
    """
    from awa.demo.story import DemoOptions, tell  # the demo is for those who run it

    chosen = processes or min(max(available_cpus(), PROCESSES_MIN), PROCESSES_DEFAULT_MAX)
    with interruptible("the demo"):
        report = tell(DemoOptions(chosen, files, database_url))
    if as_json:
        show_json(report.as_json())
    else:
        say(report.text())
    if not report.holds:
        raise Refused("not all checks hold; see above")
