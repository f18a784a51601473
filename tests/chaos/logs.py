"""What the nodes have logged, and how their supervisors ended."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import Final

from awa.telemetry import events
from tests.chaos.invariants import Verdict
from tests.chaos.node import Life

_LOGGED: Final = {
    "nodes taken for dead": events.RESCUE_NODE,
    "nodes that found themselves taken for dead": events.SUPERVISOR_DECLARED_DEAD,
    "changes of leader": events.LEAD_ELECTED,
    "segments of the log dropped": events.RETIRE_SEGMENT,
}
_MEANT: Final = (0, 1, *(-number for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)))
"""Exit codes of supervisors. One that has only just been started does not know yet what to do with a signal."""


def counted(lives: Sequence[Life]) -> dict[str, int]:
    """Return how often things were logged."""
    seen = dict.fromkeys(_LOGGED.values(), 0)
    for life in lives:
        for line in life.lines():
            if line.get("event") in seen:
                seen[line["event"]] += 1
    return {name: seen[event] for name, event in _LOGGED.items()}


def judged(lives: Sequence[Life]) -> list[Verdict]:
    """Judge what no fault accounts for."""
    return [
        Verdict("no supervisor ends in a way nobody meant", _odd_ends(lives)),
        Verdict("nothing in the logs is called a defect", _defects(lives)),
    ]


def _odd_ends(lives: Sequence[Life]) -> list[str]:
    """Supervisors that did not drain (0), find no database or lose their loader at the start (1), or die of what they
    were sent."""
    return [f"{life.log.name}: {life.code}" for life in lives if life.code not in _MEANT]


def _defects(lives: Sequence[Life]) -> list[str]:
    """Tracebacks: what the database or a signal may do is said in a line."""
    found = []
    for life in lives:
        for line in life.lines():
            if "traceback" in line and line["event"] != events.RUN_FINISHED:  # a handler that fails on purpose
                found.append(f"{life.log.name}: {line['event']} {str(line['traceback']).splitlines()[-1]}")
        if any(line.startswith("Traceback") for line in life.other_lines()):
            found.append(f"{life.log.name}: {life.other_lines()[-1]}")
    return found
