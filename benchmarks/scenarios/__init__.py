"""One file each: what it measures, why, and how to read it."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.harness.plan import Plan
from benchmarks.harness.report import Result
from benchmarks.scenarios import (
    backlog,
    bulk,
    drain,
    history,
    horizon,
    importing,
    inserting,
    inside,
    memory,
    pickup,
    queues,
    recovery,
    scheduled,
    together,
    upkeep,
    working,
)

SCENARIOS: dict[str, Callable[[Plan], Result]] = {
    "drain": drain.run,
    "together": together.run,
    "bulk": bulk.run,
    "inserting": inserting.run,
    "pickup": pickup.run,
    "working": working.run,
    "horizon": horizon.run,
    "backlog": backlog.run,
    "queues": queues.run,
    "scheduled": scheduled.run,
    "history": history.run,
    "memory": memory.run,
    "recovery": recovery.run,
    "upkeep": upkeep.run,
    "inside": inside.run,
    "importing": importing.run,
}
"""In the order in which they are run."""
