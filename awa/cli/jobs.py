"""`awa job`: list, show, cancel, retry and discard jobs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import click

from awa.cli.output import json_option, jsonable, say, show_fields, show_json, show_table, text
from awa.cli.target import client, database_url_option
from awa.job import Job, JobState

COLUMNS = (("ID", 8), ("KIND", 25), ("QUEUE", 10), ("STATE", 10), ("ATT", -5), ("MAX", -5))

job_id_argument = click.argument("job_id", metavar="ID", type=int)


@click.group()
def job() -> None:
    """List, show, cancel, retry and discard jobs."""


@job.command("list")
@database_url_option
@click.option("--state", type=click.Choice([str(state) for state in JobState]), help="Only jobs in this state.")
@click.option("--kind", help="Only jobs of this kind.")
@click.option("--queue", help="Only jobs of this queue.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")
@json_option
def list_jobs(state: str | None, kind: str | None, queue: str | None, limit: int, as_json: bool) -> None:
    """List jobs, newest first."""
    with client() as chosen:
        found = chosen.list_jobs(state=state, kind=kind, queue=queue, limit=limit)
    if as_json:
        show_json(found)
        return
    show_table(COLUMNS, ((j.id, j.kind, j.queue, j.state, j.attempt, j.max_attempts) for j in found))
    say(f"{len(found)} jobs listed.")


@job.command()
@database_url_option
@job_id_argument
@json_option
def show(job_id: int, as_json: bool) -> None:
    """Show a job with all its attempts."""
    with client() as chosen:
        found, attempts = chosen.get_job(job_id), chosen.attempts(job_id)
    if as_json:
        show_json({**jsonable(found), "attempts": attempts})
        return
    show_fields(_attributes(found))
    for attempt in attempts:
        say()
        show_fields(_attempt(attempt))
    for error in found.errors:
        if all(error != attempt["error"] for attempt in attempts):  # cancelled before it was run
            say()
            show_fields(sorted(error.items()))


@job.command()
@database_url_option
@job_id_argument
@json_option
def cancel(job_id: int, as_json: bool) -> None:
    """Cancel a job that has not ended."""
    with client() as chosen:
        _done("Cancelled", chosen.cancel(job_id), as_json)


@job.command()
@database_url_option
@job_id_argument
@json_option
def retry(job_id: int, as_json: bool) -> None:
    """Run a failed or cancelled job again, counting its attempts from 0."""
    with client() as chosen:
        _done("Retried", chosen.retry(job_id), as_json)


@job.command("retry-failed")
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
    if as_json:
        show_json(found)
    else:
        say(f"Retried {found.matched} jobs")


@job.command()
@database_url_option
@click.option("--kind", required=True, help="All failed jobs of this kind.")
@json_option
def discard(kind: str, as_json: bool) -> None:
    """Forget all failed jobs of a kind, with their attempts, for good. Dead letters stay."""
    with client() as chosen:
        count = chosen.discard_failed(kind)
    if as_json:
        show_json({"count": count})
    else:
        say(f"Discarded {count} jobs")


def _done(what: str, changed: Job, as_json: bool) -> None:
    if as_json:
        show_json(changed)
    else:
        say(f"{what} job {changed.id}")


def _attributes(found: Job) -> Iterator[tuple[str, Any]]:
    """Yield a job's attributes; its errors are shown with the attempts they ended."""
    for field in fields(found):
        if field.name != "errors":
            yield field.name, getattr(found, field.name)


def _attempt(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    error = row["error"] or {}
    manual = f" (after {row['round']} manual retries)" if row["round"] else ""
    yield "attempt", f"{row['attempt']}{manual}: {row['outcome']}"
    yield "  started", row["started_at"]
    yield "  finished", row["finished_at"]
    yield "  took", f"{(row['finished_at'] - row['started_at']).total_seconds():.6f} s"
    yield "  worker", row["worker"]
    yield "  cpu", None if row["cpu_s"] is None else f"{row['cpu_s']:.6f} s"
    yield "  peak memory", None if row["peak_kb"] is None else f"{row['peak_kb'] / 1024:.1f} MiB"
    if error:
        yield "  error", error.get("error")
    for name in sorted(error.keys() - {"error", "attempt", "at"}):
        yield f"  {name}", text(error[name])
