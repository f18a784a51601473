"""`awa bench`: what this machine and this database do with jobs that do nothing."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from awa.cli.interruptible import interruptible
from awa.cli.output import json_option, say, show_fields, show_json

if TYPE_CHECKING:
    from awa.bench.measure import BenchReport

PROCESSES = 2
JOBS = 20_000


@click.command()
@click.option(
    "--processes", type=click.IntRange(1, 64), default=PROCESSES, show_default=True, metavar="N", help="Workers."
)
@click.option("--jobs", type=click.IntRange(1), default=JOBS, show_default=True, metavar="N", help="Jobs to drain.")
@click.option(
    "--database-url",
    metavar="URL",
    help="A migrated database to use; the jobs stay in its queue awa-bench until their retention is over. Left out, "
    "whatever the environment says: an embedded one, gone afterwards.",
)
@json_option
def bench(processes: int, jobs: int, database_url: str | None, as_json: bool) -> None:
    """Measure insert, drain and pickup of jobs that do nothing.

    Inserts jobs with 250 bytes of arguments, at once and one by one; lets workers drain them; then hands the idle
    workers one job at a time, and takes how long each waited from its commit to its start. Every job is verified to
    have run. One round, a few seconds: the figures say what to expect here, not how Awa compares with anything.
    """
    from awa.bench.measure import BenchOptions, run  # for those who run it

    with interruptible("the benchmark"):
        report = run(BenchOptions(jobs, processes, database_url), lambda said: say(said, err=True))
    if as_json:
        show_json(asdict(report))
    else:
        _show(report)


def _show(report: BenchReport) -> None:
    settings = ", ".join(f"{name} {value}" for name, value in report.settings.items())
    say(f"{report.processes} workers, {settings}")
    show_fields(
        [
            ("insert_many", f"{report.insert_many_per_s:,.0f} jobs/s"),
            ("insert, one by one", f"{report.insert_per_s:,.0f} jobs/s"),
            ("drain", f"{report.drain_per_s:,.0f} jobs/s"),
            ("pickup, half of them within", f"{report.pickup_p50_ms:.1f} ms"),
            ("pickup, 99 % within", f"{report.pickup_p99_ms:.1f} ms"),
        ]
    )
