"""`awa job`: list and show jobs; `job_changes` has what changes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from datetime import datetime, timezone
from typing import Any, TypeVar

import click

from awa.cli.job_changes import COMMANDS
from awa.cli.names import refuse_unknown
from awa.cli.output import json_option, jsonable, say, show_fields, show_json, show_table, text
from awa.cli.scope import listed, scope_options
from awa.cli.target import client, database_url_option
from awa.job.model import Job, JobState

Command = TypeVar("Command", bound=Callable[..., Any])

COLUMNS = (
    ("ID", 8),
    ("KIND", 25),
    ("QUEUE", 10),
    ("STATE", 10),
    ("ATT", -5),
    ("MAX", -5),
    ("AGE", -6),
    ("TAGS", 4),
    ("ERROR", 5),
)
ERROR_LENGTH_MAX = 60

job_id_argument = click.argument("job_id", metavar="ID", type=int)


@click.group()
def job() -> None:
    """List, show, insert, cancel, retry and discard jobs."""


@job.command("list")
@database_url_option
@scope_options
@click.option("--before-id", type=int, metavar="ID", help="Only jobs with an id below this: the next page.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")
@json_option
def list_jobs(
    state: tuple[str, ...],
    kind: str | None,
    queue: str | None,
    tag: str | None,
    before_id: int | None,
    limit: int,
    as_json: bool,
) -> None:
    """List jobs, newest first. AGE is how long ago a job was inserted, ERROR how its last attempt went wrong."""
    with client() as chosen:
        found = listed(chosen, state, kind=kind, queue=queue, tag=tag, before_id=before_id, limit=limit)
        if not found:
            refuse_unknown(chosen, queue=queue, kind=kind)
    if as_json:
        show_json(found)
        return
    now = datetime.now(timezone.utc)
    show_table(COLUMNS, (_row(each, now) for each in found))
    say(f"{len(found)} jobs listed.")
    if len(found) == limit:
        say(f"Next page: --before-id {found[-1].id}")


@job.command()
@database_url_option
@job_id_argument
@json_option
def show(job_id: int, as_json: bool) -> None:
    """Show a job with all its attempts, and why it waits if it does."""
    with client() as chosen:
        found, attempts = chosen.get_job(job_id), chosen.attempts(job_id)
        waiting = chosen.waiting_reasons(job_id)
    if as_json:
        show_json({**jsonable(found), "attempts": attempts, "waiting": waiting})
        return
    show_fields([*_attributes(found), *(("waits because", reason.text) for reason in waiting)])
    for attempt in attempts:
        say()
        show_fields(_attempt(attempt))
    for error in found.errors:
        if all(error != attempt["error"] for attempt in attempts):  # cancelled before it was run
            say()
            show_fields(sorted(error.items()))


def _row(found: Job, now: datetime) -> Sequence[object]:
    error = found.errors[-1]["error"].partition("\n")[0] if found.errors else "-"
    short = error if len(error) <= ERROR_LENGTH_MAX else f"{error[: ERROR_LENGTH_MAX - 1]}…"
    return (
        found.id,
        found.kind,
        found.queue,
        found.state,
        found.attempt,
        found.max_attempts,
        "-" if found.created_at is None else _age((now - found.created_at).total_seconds()),
        ",".join(found.tags) or "-",
        short if found.state is not JobState.Completed else "-",
    )


def _age(seconds: float) -> str:
    """Return a length of time in its largest whole unit: 90 s is 1m. Never below 0: clocks of machines differ."""
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return f"{max(0, int(seconds))}s"


def _attributes(found: Job) -> Iterator[tuple[str, Any]]:
    """Yield a job's attributes; its errors are shown with the attempts they ended."""
    for field in fields(found):
        if field.name != "errors":
            yield field.name, getattr(found, field.name)


def _attempt(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    error = row["error"] or {}
    manual = f" (after {row['retry_round']} manual retries)" if row["retry_round"] else ""
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


for _command in COMMANDS:
    job.add_command(_command)
