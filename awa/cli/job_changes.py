"""`awa job`: insert, cancel, retry, bring forward and discard jobs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import click

from awa.cli.failures import Refused
from awa.cli.names import MEANT, force_option, refuse_unknown
from awa.cli.output import json_option, say, show_json
from awa.cli.scope import LIVE, confirm, every, scope_options, yes_option
from awa.cli.target import client, database_url_option
from awa.client import Client
from awa.errors import JobNotFound, StateConflict, UniqueConflict
from awa.job import Job

job_id_argument = click.argument("job_id", metavar="ID", type=int)


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
@click.argument("job_ids", metavar="[ID]...", type=int, nargs=-1)
@scope_options
@yes_option
@json_option
def cancel(job_ids: tuple[int, ...], state: tuple[str, ...], yes: bool, as_json: bool, **scope: str | None) -> None:
    """Cancel jobs that have not ended: those named by ID, or all that the options name."""
    named = {name: value for name, value in scope.items() if value is not None}
    if job_ids and (named or state):
        raise click.UsageError("name jobs by their IDs, or by options, not both")
    if not job_ids and not named and not state:
        raise click.UsageError("say which: IDs, or --state, --kind, --queue, --tag")
    with client() as chosen:
        if len(job_ids) == 1:
            _done("Cancelled", chosen.cancel(job_ids[0]), as_json)
        elif job_ids:
            _cancel_each(chosen, job_ids, as_json)
        else:
            _cancel_scope(chosen, state, named, yes, as_json)


@click.command()
@database_url_option
@job_id_argument
@json_option
def retry(job_id: int, as_json: bool) -> None:
    """Run a failed or cancelled job again, counting its attempts from 0."""
    with client() as chosen:
        _done("Retried", chosen.retry(job_id), as_json)


@click.command("run-now")
@database_url_option
@job_id_argument
@json_option
def run_now(job_id: int, as_json: bool) -> None:
    """Have a scheduled or retryable job run at once; its attempts stay counted."""
    with client() as chosen:
        changed = chosen.run_now(job_id)
    if as_json:
        show_json(changed)
    else:
        say(f"Job {job_id} runs as soon as a worker is free")


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
@click.option("--kind", required=True, help="All failed jobs of this kind.")
@json_option
def discard(kind: str, as_json: bool) -> None:
    """Forget all failed jobs of a kind, with their attempts, for good. Dead letters stay: `awa dlq purge`."""
    with client() as chosen:
        count = chosen.discard_failed(kind)
        if not count:
            refuse_unknown(chosen, kind=kind)
    if as_json:
        show_json({"count": count})
    else:
        say(f"Discarded {count} jobs")


COMMANDS = (insert, cancel, retry, run_now, retry_failed, discard)


def _cancel_scope(chosen: Client, state: tuple[str, ...], scope: dict[str, str], yes: bool, as_json: bool) -> None:
    """Cancel what the options name. It goes on from id to id: a job inserted meanwhile may be left."""
    if ended := sorted(set(state) - set(LIVE)):
        raise Refused(f"{', '.join(ended)} jobs cannot be cancelled; those in {', '.join(LIVE)} can")
    if next(every(chosen, state or LIVE, **scope), None) is None:
        refuse_unknown(chosen, queue=scope.get("queue"), kind=scope.get("kind"))
    which = ", ".join([*state, *(f"{name} {value!r}" for name, value in scope.items())])
    confirm(f"Cancel all jobs of {which}?", yes)
    _cancel_each(chosen, (each.id for each in every(chosen, state or LIVE, **scope)), as_json)


def _cancel_each(chosen: Client, job_ids: Iterable[int], as_json: bool) -> None:
    """Cancel one after the other, and say how many of them, and why others were not. Raises Refused if any was not."""
    done, left = 0, []
    for job_id in job_ids:
        try:
            chosen.cancel(job_id)
            done += 1
        except (StateConflict, JobNotFound, UniqueConflict) as refusal:
            left.append(str(refusal))
    if as_json:
        show_json({"count": done, "left": left})
    else:
        say(f"Cancelled {done} jobs")
    if left:
        raise Refused(f"{len(left)} jobs were not cancelled:\n" + "\n".join(left))


def _object(option: str, text: str) -> dict[str, Any]:
    """Return a JSON object. Raises UsageError that says where the text stops being one."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"{option} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise click.UsageError(f"{option} is a JSON {type(value).__name__}; it must be an object, as in '{{\"n\": 1}}'")
    return value


def _done(what: str, changed: Job, as_json: bool) -> None:
    if as_json:
        show_json(changed)
    else:
        say(f"{what} job {changed.id}")
