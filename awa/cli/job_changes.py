"""`awa job`: insert, cancel, retry, bring forward and discard jobs."""

from __future__ import annotations

import json
from typing import Any

import click

from awa.cli.many import Verb, change, many_options
from awa.cli.names import MEANT, force_option, refuse_unknown
from awa.cli.output import json_option, say, show_json
from awa.cli.scope import LIVE, WAITING
from awa.cli.target import client, database_url_option
from awa.client.client import Client
from awa.job.model import Job


@click.command()
@database_url_option
@click.argument("kind")
@click.option("--args", "args_json", default="{}", metavar="JSON", help="The arguments, as a JSON object. Default: {}.")
@click.option("--queue", default="default", show_default=True, help="The queue.")
@click.option("--priority", type=click.IntRange(1, 4), default=2, show_default=True, help="1 is the most urgent.")
@click.option("--max-attempts", type=click.IntRange(1), metavar="N", help="Left out: as the task says.")
@click.option("--run-at", metavar="TIME", help="Not before this. Left out: at once.")
@click.option("--tag", "tags", multiple=True, help="A tag; given again, one more.")
@click.option("--metadata", "metadata_json", metavar="JSON", help="The metadata, as a JSON object.")
@click.option("--ordering-key", metavar="TEXT", help="Jobs of a queue with the same one start in order.")
@force_option("Insert a job of a kind, or into a queue, that nothing knows yet.")
@json_option
def insert(
    kind: str,
    args_json: str,
    queue: str,
    priority: int,
    max_attempts: int | None,
    run_at: str | None,
    tags: tuple[str, ...],
    metadata_json: str | None,
    ordering_key: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Insert a job."""
    options: dict[str, Any] = {"kind": kind, "queue": queue, "priority": priority, "run_at": run_at}
    options |= {"tags": list(tags), "ordering_key": ordering_key}
    if max_attempts is not None:
        options["max_attempts"] = max_attempts
    if metadata_json is not None:
        options["metadata"] = _object("--metadata", metadata_json)
    args = _object("--args", args_json)
    with client() as chosen:
        if not force:
            refuse_unknown(chosen, kind=kind, queue=None if queue == "default" else queue, way_out=MEANT)
        _done("Inserted", chosen.insert(args, **options), as_json)


@click.command()
@database_url_option
@many_options
def cancel(**named: Any) -> None:
    """Cancel jobs that have not ended: those named by ID, or all that the options name."""
    change(_CANCEL, **named)


@click.command()
@database_url_option
@many_options
def retry(**named: Any) -> None:
    """Run failed or cancelled jobs again, counting their attempts from 0: those named by ID, or all that the options
    name. Without --state these are failed ones; dead letters stay: `awa dlq retry-bulk`."""
    change(_RETRY, **named)


@click.command("run-now")
@database_url_option
@many_options
def run_now(**named: Any) -> None:
    """Have scheduled or retryable jobs run as soon as a worker is free: those named by ID, or all that the options
    name. Their attempts stay counted."""
    change(_RUN_NOW, **named)


@click.command("retry-failed")
@database_url_option
@click.option("--kind", help="All failed jobs of this kind.")
@click.option("--queue", help="All failed jobs of this queue.")
@json_option
def retry_failed(kind: str | None, queue: str | None, as_json: bool) -> None:
    """Run all failed jobs of a kind, or of a queue, again. Dead letters stay: `awa dlq retry-bulk` is for those."""
    if (kind is None) == (queue is None):
        raise click.UsageError("give --kind or --queue, one of them and not both")
    with client() as chosen:
        found = chosen.retry_failed(kind=kind, queue=queue)
        if not found.matched:
            refuse_unknown(chosen, kind=kind, queue=queue)
    if as_json:
        show_json(found)
    else:
        say(f"Retried {len(found.jobs)} jobs")
        if left := found.matched - len(found.jobs):
            say(f"{left} stay failed: another job holds their unique key; awa job retry ID says which")


@click.command()
@database_url_option
@many_options
def discard(**named: Any) -> None:
    """Forget failed jobs, with their attempts, for good: those named by ID, or all that the options name. Dead letters
    stay: `awa dlq purge`."""
    change(_DISCARD, **named)


_CANCEL = Verb("cancel", "cancelled", Client.cancel, states=LIVE, usual=LIVE)
_RETRY = Verb(
    "retry", "retried", Client.retry, states=("failed", "cancelled"), usual=("failed",), spares_dead_letters=True
)
_RUN_NOW = Verb("bring forward", "brought forward", Client.run_now, states=WAITING, usual=WAITING)
_DISCARD = Verb(
    "discard",
    "discarded",
    Client.discard,
    states=("failed",),
    usual=("failed",),
    spares_dead_letters=True,
    of_a_kind=Client.discard_failed,
)
COMMANDS = (insert, cancel, retry, run_now, retry_failed, discard)


def _object(option: str, text: str) -> dict[str, Any]:
    """Return a JSON object. Raises UsageError that says where the text stops being one."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"{option} is not JSON: {error}") from error
    except RecursionError as error:
        raise click.UsageError(f"{option} is nested too deeply to be read; flatten it") from error
    if not isinstance(value, dict):
        raise click.UsageError(f"{option} is a JSON {type(value).__name__}; it must be an object, as in '{{\"n\": 1}}'")
    return value


def _done(what: str, changed: Job, as_json: bool) -> None:
    if as_json:
        show_json(changed)
    else:
        say(f"{what} job {changed.id}")
