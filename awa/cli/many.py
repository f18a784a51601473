"""Changing many jobs: those named by id, or those that options name, which are counted and asked about first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import click

from awa.cli.failures import Refused
from awa.cli.names import refuse_unknown
from awa.cli.output import json_option, say, show_json
from awa.cli.scope import PAGE, confirm, every, scope_options, yes_option
from awa.cli.target import client
from awa.client.client import Client
from awa.errors import JobNotFound, StateConflict, UniqueConflict, ValidationError
from awa.job.model import Job
from awa.job.moments import moment

Command = TypeVar("Command", bound=Callable[..., Any])


class Verb(NamedTuple):
    """The action of a command on each job."""

    name: str
    """cancel"""
    past: str
    """cancelled"""
    act: Callable[[Client, int], Job | None]
    """Does it to one job; returns the job where there still is one."""
    states: Sequence[str]
    """Of jobs to which it can be done."""
    usual: Sequence[str]
    """Of those that are meant where no state is named."""
    spares_dead_letters: bool = False
    """True if options name no dead letters."""
    of_a_kind: Callable[[Client, str], int] | None = None
    """Does it to all jobs of a kind at once; returns how many."""


def many_options(command: Command) -> Command:
    """Give a command what names many jobs: IDs, or options; --yes and --json."""
    by_time = click.option("--inserted-before", metavar="TIME", help="Only jobs inserted before this.")
    given = click.argument("job_ids", metavar="[ID]...", type=int, nargs=-1)
    return given(scope_options(by_time(yes_option(json_option(command)))))


def change(
    verb: Verb,
    job_ids: Sequence[int],
    state: Sequence[str],
    inserted_before: str | None,
    yes: bool,
    as_json: bool,
    **scope: str | None,
) -> None:
    """Do what `verb` says to the jobs that are named. Raises UsageError where none are, or in both ways."""
    named = {name: value for name, value in scope.items() if value is not None}
    by_options = bool(named or state or inserted_before)
    if job_ids and by_options:
        raise click.UsageError("name jobs by their IDs, or by options, not both")
    if not job_ids and not by_options:
        raise click.UsageError("say which: IDs, or --state, --kind, --queue, --tag, --inserted-before")
    with client() as chosen:
        if len(job_ids) == 1:
            _tell_one(verb, job_ids[0], verb.act(chosen, job_ids[0]), as_json)
        elif job_ids:
            _each(chosen, verb, job_ids, as_json)
        else:
            _scope(chosen, verb, state, named, inserted_before, yes, as_json)


def _scope(
    chosen: Client,
    verb: Verb,
    state: Sequence[str],
    scope: Mapping[str, str],
    inserted_before: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Do it to the jobs that the options name now; one that is inserted, or comes into such a state, later is left."""
    if others := sorted(set(state) - set(verb.states)):
        raise Refused(f"{', '.join(others)} jobs cannot be {verb.past}; those in {', '.join(verb.states)} can")
    before = None if inserted_before is None else _time(inserted_before)
    found = [each.id for each in every(chosen, state or verb.usual, **scope) if _is_before(each, before)]
    if verb.spares_dead_letters and found:
        dead = _dead_letters(chosen, scope)
        found = [job_id for job_id in found if job_id not in dead]
    if not found:
        refuse_unknown(chosen, queue=scope.get("queue"), kind=scope.get("kind"))
    else:
        told = [*state, *(f"{name} {value!r}" for name, value in scope.items())]
        told += [f"inserted before {inserted_before}"] if inserted_before else []
        confirm(f"{verb.name.capitalize()} {len(found)} jobs ({', '.join(told)})?", yes)
    if verb.of_a_kind is not None and scope.keys() == {"kind"} and before is None:
        _tell(verb, verb.of_a_kind(chosen, scope["kind"]), [], as_json)
    else:
        _each(chosen, verb, reversed(found), as_json)


def _each(chosen: Client, verb: Verb, job_ids: Iterable[int], as_json: bool) -> None:
    """Do it to one after the other, and say to how many, and why not to others. Raises Refused if there were any."""
    done, left = 0, []
    for job_id in job_ids:
        try:
            verb.act(chosen, job_id)
            done += 1
        except (StateConflict, JobNotFound, UniqueConflict) as refusal:
            left.append(str(refusal))
    _tell(verb, done, left, as_json)


def _tell(verb: Verb, done: int, left: Sequence[str], as_json: bool) -> None:
    if as_json:
        show_json({"count": done, "left": left})
    else:
        say(f"{verb.past.capitalize()} {done} jobs")
    if left:
        raise Refused(f"{len(left)} jobs were not {verb.past}:\n" + "\n".join(left))


def _tell_one(verb: Verb, job_id: int, changed: Job | None, as_json: bool) -> None:
    if as_json:
        show_json({"count": 1, "left": []} if changed is None else changed)
    else:
        say(f"{verb.past.capitalize()} job {job_id}")


def _time(text: str) -> datetime:
    try:
        return moment(text, "--inserted-before")
    except ValidationError as refusal:
        raise click.UsageError(str(refusal)) from refusal


def _is_before(job: Job, before: datetime | None) -> bool:
    return before is None or job.created_at is None or job.created_at < before


def _dead_letters(chosen: Client, scope: Mapping[str, Any]) -> set[int]:
    """Return the dead letters that the options name."""
    found: set[int] = set()
    at: dict[str, Any] = {}
    while page := chosen.list_dlq(limit=PAGE, **scope, **at):
        found.update(entry.job.id for entry in page)
        at = {"before_id": page[-1].job.id, "before_dlq_at": page[-1].dlq_at}
    return found
