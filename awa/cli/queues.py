"""`awa queue`: how queues stand; pause them and let them go on."""

from __future__ import annotations

import click

from awa.cli.output import json_option, show_json, show_table
from awa.cli.target import client, database_url_option
from awa.engine.control import QueueStat

COLUMNS = (
    ("QUEUE", 20),
    ("QUEUED", -9),
    ("SCHEDULED", -9),
    ("AVAILABLE", -9),
    ("RETRYABLE", -9),
    ("RUNNING", -9),
    ("FAILED", -9),
    ("WAITING", -9),
    ("DONE/H", -9),
    ("LAG", -8),
    ("PAUSED", 6),
)

queue_argument = click.argument("name", metavar="QUEUE")


@click.group()
def queue() -> None:
    """See how queues stand; pause them and let them go on."""


@queue.command()
@database_url_option
@json_option
def stats(as_json: bool) -> None:
    """Show, for every queue, how many jobs are in which state."""
    with client() as chosen:
        found = chosen.queue_stats()
    if as_json:
        show_json(found)
    else:
        show_table(COLUMNS, map(_row, found))


@queue.command()
@database_url_option
@queue_argument
@click.option("--by", metavar="WHO", help="Who pauses it, for those who wonder.")
def pause(name: str, by: str | None) -> None:
    """Let nobody take jobs from a queue. Running jobs finish; inserting goes on."""
    with client() as chosen:
        chosen.pause_queue(name, by)
    click.echo(f"Paused queue '{name}'")


@queue.command()
@database_url_option
@queue_argument
def resume(name: str) -> None:
    """Let jobs of a paused queue be taken again."""
    with client() as chosen:
        chosen.resume_queue(name)
    click.echo(f"Resumed queue '{name}'")


def _row(stat: QueueStat) -> tuple[object, ...]:
    lag = "-" if stat.lag_seconds is None else f"{stat.lag_seconds:.1f}s"
    return (*stat[:9], lag, "yes" if stat.paused else "no")
