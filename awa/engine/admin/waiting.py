"""Waiting: why a job that has not ended is not being run."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, NamedTuple

import psycopg

from awa.database.pipeline import records
from awa.database.statements import statement
from awa.engine.admin import control
from awa.job.model import JobState

_FACTS = statement("waiting/facts")


class WaitingReason(NamedTuple):
    """One thing that keeps a job from being run now."""

    code: str
    """For programs: "queue_paused", "no_node", "unknown_kind", "queue_not_served", "scheduled", "retry", "overdue",
    "behind_key", "unsealed" or "behind_others"."""
    text: str
    """For people, with what to do where something can be done."""


def waiting_reasons(connection: psycopg.Connection[Any], job_id: int) -> list[WaitingReason]:
    """Return why a job waits, the most decisive reason first; nothing for one that is being run or has ended.

    Raises `JobNotFound`.
    """
    row = control.get(connection, job_id)
    state = JobState.parse(row["state"])
    if state.is_terminal or state is JobState.Running:
        return []
    found = records(connection, _FACTS, {"id": job_id})
    if not found or found[0]["is_leased"]:  # it was taken, or went, a moment ago
        return []
    facts = found[0]
    return [*_time(state, row, facts), *_place(facts), *_turn(state, facts)]


def _time(state: JobState, row: dict[str, Any], facts: dict[str, Any]) -> list[WaitingReason]:
    """Return what a clock has to do with it."""
    until = facts["deferred_until"] or row["run_at"]
    if facts["is_due"]:
        text = f"it has been due since {_moment(until)}: the leader of the nodes brings it back within a second"
        return [WaitingReason("overdue", text)]
    if state is JobState.Retryable:
        text = f"its next attempt is due at {_moment(until)}; awa job run-now {row['id']} has it run at once"
        return [WaitingReason("retry", text)]
    if state is JobState.Scheduled:
        text = f"it is scheduled for {_moment(until)}; awa job run-now {row['id']} has it run at once"
        return [WaitingReason("scheduled", text)]
    return []


def _place(facts: dict[str, Any]) -> list[WaitingReason]:
    """Return what is the matter with its queue, and with those that might run it."""
    queue, kind = facts["queue"], facts["kind"]
    found = []
    if facts["paused_at"] is not None:
        by = f" by {facts['paused_by']}" if facts["paused_by"] else ""
        text = f"queue {queue!r} has been paused{by} since {_moment(facts['paused_at'])}; awa queue resume {queue}"
        found.append(WaitingReason("queue_paused", text))
    if not facts["nodes"]:
        found.append(WaitingReason("no_node", "no supervisor is alive; start awa-supervisor"))
    elif not facts["is_kind_known"]:
        text = f"no live node has a handler for kind {kind!r}; deploy one, or correct the kind"
        found.append(WaitingReason("unknown_kind", text))
    elif not facts["is_served"]:
        text = f"no live node that knows kind {kind!r} works on queue {queue!r}; add it to --queues"
        found.append(WaitingReason("queue_not_served", text))
    return found


def _turn(state: JobState, facts: dict[str, Any]) -> list[WaitingReason]:
    """Return what goes before it."""
    if facts["is_in_line"]:
        first = "" if facts["key_line_head"] is None else f", the first of them job {facts['key_line_head']}"
        text = f"{_jobs(facts['line_ahead'])} with its ordering key {_go(facts['line_ahead'])} before it{first}"
        return [WaitingReason("behind_key", text)]
    if facts["ahead"]:
        text = f"{_jobs(facts['ahead'])} of queue {facts['queue']!r} {_go(facts['ahead'])} before it"
        return [WaitingReason("behind_others", text)]
    if state is JobState.Available and not facts["is_ready"] and facts["deferred_until"] is None:
        text = "it has not been routed yet: the next worker that looks for work does that"
        return [WaitingReason("unsealed", text)]
    return []


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count:,} jobs"


def _go(count: int) -> str:
    return "goes" if count == 1 else "go"


def _moment(at: datetime) -> str:
    return at.astimezone(timezone.utc).isoformat(timespec="seconds")
