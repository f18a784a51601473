"""`awa queue`: how queues stand; pause them, let them go on, and set how their jobs are treated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any, Literal, TypeVar

import click

from awa.cli.names import MEANT, force_option, refuse_unknown
from awa.cli.output import json_option, say, show_fields, show_json, show_table, text
from awa.cli.scope import confirm, yes_option
from awa.cli.target import client, database_url_option
from awa.client.client import Client
from awa.engine.admin.control import QueueStat
from awa.job.queue_policy import AGEING_S, DEADLINE_S, DEFAULT, RETENTION_H_MAX, QueuePolicy
from awa.job.validate import check_name

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
    ("BY", 2),
)

Command = TypeVar("Command", bound=Callable[..., Any])
DEATHS = (("KIND", 25), ("QUEUE", 10), ("10 MIN", -6), ("HOUR", -6), ("DAY", -6), ("WEEK", -6), ("LAST", 25))

queue_argument = click.argument("name", metavar="QUEUE")


class OrDefault(click.ParamType):  # type: ignore[type-arg]
    """A number within limits, or the word `default`."""

    def __init__(self, number: click.ParamType) -> None:  # type: ignore[type-arg]
        self.name = number.name
        self._number = number

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == DEFAULT else self._number.convert(value, param, ctx)


def hours_option(what: str, meaning: str) -> Callable[[Command], Command]:
    """Give a command the option `--retention-…-h`."""
    number = OrDefault(click.FloatRange(0, RETENTION_H_MAX))
    return click.option(f"--retention-{what}-h", type=number, metavar="H|default", help=f"Hours that {meaning}.")


@click.group()
def queue() -> None:
    """See how queues stand; pause them, let them go on, and set how their jobs are treated."""


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
@json_option
def deaths(as_json: bool) -> None:
    """Show which kinds of jobs worker processes died of, in the last week."""
    with client() as chosen:
        found = chosen.worker_deaths()
    if as_json:
        show_json(found)
    else:
        show_table(DEATHS, ((*each[:6], text(each.last_at)) for each in found))


@queue.command()
@database_url_option
@queue_argument
@click.option("--by", metavar="WHO", help="Record who paused the queue.")
@force_option("Pause a queue that nothing knows yet.")
def pause(name: str, by: str | None, force: bool) -> None:
    """Stop workers from taking jobs of a queue. Running jobs finish; inserting goes on."""
    with client() as chosen:
        _refuse_unknown(chosen, name, force)
        chosen.pause_queue(name, by)
    say(f"Paused queue '{name}'")


@queue.command()
@database_url_option
@queue_argument
@force_option("Do not look whether the queue is known.")
def resume(name: str, force: bool) -> None:
    """Let workers take jobs of a paused queue again."""
    with client() as chosen:
        _refuse_unknown(chosen, name, force)
        chosen.resume_queue(name)
    say(f"Resumed queue '{name}'")


@queue.command()
@database_url_option
@queue_argument
@yes_option
@force_option("Do not look whether the queue is known.")
@json_option
def drain(name: str, yes: bool, force: bool, as_json: bool) -> None:
    """Cancel all jobs of a queue that wait. Running jobs go on; the queue is not paused."""
    with client() as chosen:
        _refuse_unknown(chosen, name, force)
        confirm(f"Cancel all waiting jobs of queue {name!r}?", yes)
        count = chosen.drain_queue(name)
    if as_json:
        show_json({"count": count})
    else:
        say(f"Drained {count} jobs from queue '{name}'")


@queue.command()
@database_url_option
@queue_argument
@force_option("Show what holds for a queue that nothing knows yet.")
@json_option
def policy(name: str, force: bool, as_json: bool) -> None:
    """Show how the jobs of a queue are treated."""
    with client() as chosen:
        _refuse_unknown(chosen, name, force)
        _show(chosen.queue_policy(name), as_json)


@queue.command()
@database_url_option
@queue_argument
@click.option(
    "--deadline-s",
    type=OrDefault(click.IntRange(DEADLINE_S[0], DEADLINE_S[-1])),
    metavar="S|default",
    help="Seconds an attempt may take, unless its task or the job says otherwise; 0: as long as it likes.",
)
@click.option("--dlq/--no-dlq", default=None, help="Keep jobs that fail in the dead-letter queue.")
@click.option(
    "--ageing-s",
    type=OrDefault(click.IntRange(AGEING_S[0], AGEING_S[-1])),
    metavar="S|default",
    help="Seconds after which a job is as urgent as one of the next priority that comes in then; 0: never.",
)
@hours_option("completed", "completed and cancelled jobs stay readable")
@hours_option("failed", "failed jobs stay readable")
@hours_option("dlq", "dead letters are kept")
@click.option("--serial/--no-serial", default=None, help="Run the jobs with one ordering key one at a time.")
@click.option(
    "--block-on-retry/--no-block-on-retry",
    default=None,
    help="Hold jobs back behind one of their ordering key that waits for another try.",
)
@force_option("Configure a new queue although its name is like that of another one.")
@json_option
def configure(
    name: str,
    deadline_s: int | Literal["default"] | None,
    dlq: bool | None,
    ageing_s: int | Literal["default"] | None,
    serial: bool | None,
    block_on_retry: bool | None,
    force: bool,
    as_json: bool,
    **hours: float | Literal["default"] | None,
) -> None:
    """Set how the jobs of a queue are treated, and show it. Only what is given changes, within about a second."""
    with client() as chosen:
        _refuse_unknown(chosen, name, force, may_be_new=True)
        changed = chosen.configure_queue(
            name,
            deadline=deadline_s,
            dlq=dlq,
            ageing=ageing_s,
            serial=serial,
            block_on_retry=block_on_retry,
            **hours,
        )
        _show(changed, as_json)


def _refuse_unknown(chosen: Client, name: str, force: bool, may_be_new: bool = False) -> None:
    check_name("queue", name)
    if not force:
        refuse_unknown(chosen, queue=name, way_out=MEANT, may_be_new=may_be_new)


def _show(found: QueuePolicy, as_json: bool) -> None:
    if as_json:
        show_json(found)
    else:
        show_fields(_attributes(found))


def _attributes(found: QueuePolicy) -> Iterator[tuple[str, Any]]:
    for field in fields(found):
        value = getattr(found, field.name)
        yield field.name, "as the supervisor's setting says" if value is None else value


def _row(stat: QueueStat) -> tuple[object, ...]:
    lag = "-" if stat.lag_seconds is None else f"{stat.lag_seconds:.1f}s"
    return (*stat[:9], lag, "yes" if stat.paused else "no", text(stat.paused_by))
