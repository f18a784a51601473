"""`awa`: the group in which the commands are registered."""

import click

from awa.cli.bench import bench
from awa.cli.demo import demo
from awa.cli.dev import dev
from awa.cli.dlq import dlq
from awa.cli.failures import Commands
from awa.cli.jobs import job
from awa.cli.queues import queue, stats
from awa.cli.schema import migrate
from awa.cli.target import database_url_option
from awa.version import __version__

COMMANDS = (migrate, job, queue, dlq, demo, bench, dev)


@click.group(name="awa", cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@database_url_option
@click.version_option(__version__, prog_name="awa")
def main() -> None:
    """Look after the jobs of a database: migrate its schema, list, show, cancel and retry jobs, configure and pause
    queues, look after dead letters."""


for command in COMMANDS:
    main.add_command(command)
main.add_command(stats, "queue-stats")
