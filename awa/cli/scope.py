"""Selects the jobs of a command: options that filter, and the lookup of the names in them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import click

from awa.cli.failures import Refused
from awa.client.client import Client
from awa.job.model import Job, JobState

Command = TypeVar("Command", bound=Callable[..., Any])

PAGE = 1000
LIVE = ("available", "scheduled", "retryable", "running")
"""States that a cancellation ends."""
WAITING = ("scheduled", "retryable")
"""States in which a job waits for its time."""

yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


def scope_options(command: Command) -> Command:
    """Give a command the options --state (again for each), --kind, --queue and --tag."""
    by_tag = click.option("--tag", help="Only jobs with this tag.")
    by_queue = click.option("--queue", help="Only jobs of this queue.")
    by_kind = click.option("--kind", help="Only jobs of this kind.")
    by_state = click.option(
        "--state",
        multiple=True,
        type=click.Choice([str(state) for state in JobState]),
        help="Only jobs in this state; given again, in any of them.",
    )
    return by_state(by_kind(by_queue(by_tag(command))))


def listed(chosen: Client, states: Iterable[str], *, limit: int, **scope: Any) -> list[Job]:
    """Return the newest jobs that are in any of `states` (none named: in any there is), at most `limit`."""
    wanted: list[str | None] = [*dict.fromkeys(states)] or [None]
    found: dict[int, Job] = {}
    for state in wanted:
        for each in chosen.list_jobs(state=state, limit=limit, **scope):
            found[each.id] = each
    return sorted(found.values(), key=lambda each: -each.id)[:limit]


def every(chosen: Client, states: Iterable[str], **scope: Any) -> Iterator[Job]:
    """Yield all jobs in any of `states`, state by state, each page read when the one before it is done with."""
    for state in dict.fromkeys(states):
        before: int | None = None
        while page := chosen.list_jobs(state=state, before_id=before, limit=PAGE, **scope):
            yield from page
            before = page[-1].id


def confirm(question: str, yes: bool) -> None:
    """Ask, unless `yes`. Raises Refused when the answer is no, or when there is no terminal to ask at."""
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():  # None: closed by the shell, as by `<&-`
        raise Refused(f"{question} There is no terminal to ask at: add --yes")
    if not click.confirm(question, err=True):
        raise Refused("left alone: the answer was no")
