"""`awa dlq`: list, show and count dead letters; run them again, move failed jobs there, throw them away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, TypeVar

import click

from awa.cli.failures import Refused
from awa.cli.names import MEANT, force_option, refuse_unknown
from awa.cli.output import json_option, say, show_fields, show_json, show_table, text
from awa.cli.target import client, database_url_option
from awa.client.client import Client
from awa.errors import ValidationError
from awa.job.model import DlqEntry
from awa.job.validate import LIST_LIMIT

Command = TypeVar("Command", bound=Callable[..., Any])

COLUMNS = (("ID", 8), ("KIND", 25), ("QUEUE", 10), ("ATT", -5), ("SINCE", 32), ("REASON", 10))

job_id_argument = click.argument("job_id", metavar="ID", type=int)
any_job_argument = click.argument("job_id", metavar="[ID]", type=int, required=False)
kind_option = click.option("--kind", help="Only jobs of this kind.")
queue_option = click.option("--queue", help="Only jobs of this queue.")
tag_option = click.option("--tag", help="Only jobs with this tag.")
all_option = click.option("--all", "allow_all", is_flag=True, help="All there are, where nothing else is named.")


def before_options(command: Command) -> Command:
    """Give a command the options that name a point among dead letters."""
    by_id = click.option(
        "--before-id", type=int, metavar="ID", help="Only jobs with an id below this; or see the next."
    )
    by_time = click.option(
        "--before-dlq-at", metavar="TIME", help="Only dead letters from before this; with --before-id, the next page."
    )
    return by_id(by_time(command))


@click.group()
def dlq() -> None:
    """Look after dead letters: failed jobs that are kept. `awa queue configure` says of which queues."""


@dlq.command("list")
@database_url_option
@kind_option
@queue_option
@tag_option
@before_options
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")
@json_option
def list_dlq(limit: int, as_json: bool, **scope: Any) -> None:
    """List dead letters, newest first."""
    with client() as chosen:
        with _flag("before_dlq_at"):
            found = chosen.list_dlq(limit=limit, **scope)
        if not found:
            _refuse_unknown(chosen, scope)
    if as_json:
        show_json(found)
        return
    show_table(COLUMNS, map(_row, found))
    say(f"{len(found)} dead letters listed.")
    if len(found) == limit:
        say(f"Next page: --before-id {found[-1].job.id} --before-dlq-at {text(found[-1].dlq_at)}")


@dlq.command()
@database_url_option
@job_id_argument
@json_option
def show(job_id: int, as_json: bool) -> None:
    """Show a dead letter; `awa job show` has all its attempts."""
    with client() as chosen:
        found = _there(chosen.get_dlq_job(job_id), job_id)
    if as_json:
        show_json(found)
    else:
        show_fields(_attributes(found))


@dlq.command()
@database_url_option
@queue_option
@json_option
def depth(queue: str | None, as_json: bool) -> None:
    """Show how many dead letters each queue has, the fullest first."""
    with client() as chosen:
        found = [(name, jobs) for name, jobs in chosen.dlq_depth_by_queue() if queue in (None, name)]
        if not found:
            refuse_unknown(chosen, queue=queue)
    total = sum(jobs for _, jobs in found)
    if as_json:
        show_json({"total": total, "by_queue": [{"queue": name, "jobs": jobs} for name, jobs in found]})
        return
    show_table((("QUEUE", 20), ("JOBS", -9)), found)
    say(f"{total} dead letters.")


@dlq.command()
@database_url_option
@job_id_argument
@click.option("--run-at", metavar="TIME", help="Not before this.")
@click.option("--priority", type=click.IntRange(1, 4), help="From now on. Left out: as it was.")
@click.option("--queue", help="Where it goes. Left out: where it was.")
@force_option("Send it to a queue that nothing knows yet.")
@json_option
def retry(job_id: int, run_at: str | None, priority: int | None, queue: str | None, force: bool, as_json: bool) -> None:
    """Run a dead letter again, counting its attempts from 0."""
    with client() as chosen:
        if queue is not None and not force:
            refuse_unknown(chosen, queue=queue, way_out=MEANT)
        with _flag("run_at"):
            changed = _there(chosen.retry_from_dlq(job_id, run_at=run_at, priority=priority, queue=queue), job_id)
    if as_json:
        show_json(changed)
    else:
        say(f"Retried job {job_id}")


@dlq.command("retry-bulk")
@database_url_option
@kind_option
@queue_option
@tag_option
@all_option
@json_option
def retry_bulk(as_json: bool, **scope: Any) -> None:
    """Run dead letters again, the oldest first."""
    with client() as chosen:
        _count("Retried", _known(chosen, scope, chosen.bulk_retry_from_dlq(**_named(scope))), as_json)
        scope.pop("allow_all")
        left = len(chosen.list_dlq(**scope, limit=LIST_LIMIT[-1]))
    if left and not as_json:
        some = f"{left} or more" if left == LIST_LIMIT[-1] else left
        say(
            f"{some} are left: another job holds their unique key, or is dealing with them; awa dlq retry ID says which"
        )


@dlq.command()
@database_url_option
@any_job_argument
@kind_option
@queue_option
@all_option
@click.option("--reason", default="manual", show_default=True, help="Why, for those who find it there.")
@json_option
def move(job_id: int | None, reason: str, as_json: bool, **scope: Any) -> None:
    """Make a failed job, or all of a kind or queue, dead letters."""
    with client() as chosen:
        if job_id is None:
            moved_jobs = chosen.bulk_move_failed_to_dlq(reason=reason, **_named(scope))
            _count("Moved", _known(chosen, scope, moved_jobs), as_json)
            return
        _refuse_both(scope)
        moved = chosen.move_failed_to_dlq(job_id, reason)
    if moved is None:
        raise Refused(
            f"job {job_id} was not moved: it has not failed, or is a dead letter already; awa job show {job_id} says "
            "what it is"
        )
    if as_json:
        show_json(moved)
    else:
        say(f"Moved job {job_id}")


@dlq.command()
@database_url_option
@any_job_argument
@kind_option
@queue_option
@tag_option
@before_options
@all_option
@json_option
def purge(job_id: int | None, as_json: bool, **scope: Any) -> None:
    """Forget a dead letter, or many: the jobs, their arguments and all their attempts, for good."""
    with client() as chosen:
        if job_id is None:
            with _flag("before_dlq_at"):
                purged = chosen.purge_dlq(**_named(scope))
            _count("Purged", _known(chosen, scope, purged), as_json)
            return
        _refuse_both(scope)
        _there(chosen.purge_dlq_job(job_id) or None, job_id)
    if as_json:
        show_json({"count": 1})
    else:
        say(f"Purged job {job_id}")


Found = TypeVar("Found")


def _there(found: Found | None, job_id: int) -> Found:
    if found is None:
        raise Refused(f"job {job_id} is no dead letter; awa job show {job_id} says what it is")
    return found


def _named(scope: dict[str, Any]) -> dict[str, Any]:
    """Return the scope of a bulk operation. Raises UsageError without one: that must not mean all of them."""
    if not _is_given(scope):
        options = [f"--{name.replace('_', '-')}" for name in scope if name != "allow_all"]
        raise click.UsageError(f"say which: {', '.join(options)} or --all")
    return scope


def _is_given(scope: dict[str, Any]) -> bool:
    """Return whether anything is named, be it 0 or an empty text: those are for the client to judge."""
    return any(value is not None and value is not False for value in scope.values())


def _refuse_both(scope: dict[str, Any]) -> None:
    if _is_given(scope):
        raise click.UsageError("name one job by its ID, or many by options, not both")


def _known(chosen: Client, scope: dict[str, Any], jobs: int) -> int:
    """Return how many jobs there were; where there was none, raise Refused if nothing knows the queue or kind."""
    if not jobs:
        _refuse_unknown(chosen, scope)
    return jobs


def _refuse_unknown(chosen: Client, scope: dict[str, Any]) -> None:
    refuse_unknown(chosen, queue=scope.get("queue"), kind=scope.get("kind"))


@contextmanager
def _flag(parameter: str) -> Iterator[None]:
    """Let what is said of a parameter be said of the flag it was given as."""
    try:
        yield
    except ValidationError as refusal:
        flag = f"--{parameter.replace('_', '-')}"
        raise ValidationError(str(refusal).replace(parameter, flag, 1)) from refusal


def _count(what: str, jobs: int, as_json: bool) -> None:
    if as_json:
        show_json({"count": jobs})
    else:
        say(f"{what} {jobs} jobs")


def _row(entry: DlqEntry) -> tuple[object, ...]:
    job = entry.job
    return (job.id, job.kind, job.queue, job.attempt, text(entry.dlq_at), entry.reason)


def _attributes(entry: DlqEntry) -> Iterator[tuple[str, Any]]:
    """Yield what is known of a dead letter, and of its errors the last."""
    yield "reason", entry.reason
    yield "dlq_at", entry.dlq_at
    yield "runs", entry.original_run_lease
    for field in fields(entry.job):
        if field.name != "errors":
            yield field.name, getattr(entry.job, field.name)
    yield "last error", entry.job.errors[-1]["error"] if entry.job.errors else None
