"""The schedule: which fault comes when. The same seed gives the same one."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Planned:
    """A fault that is to be injected."""

    at_s: float
    """Seconds after the beginning."""
    kind: str
    seed: int
    """For what the fault itself draws: its target, its length."""


def plan(seed: int, seconds: float, every_s: float, weights: Mapping[str, float]) -> list[Planned]:
    """Return the faults of a run, in order: each kind once, and after that by weight."""
    draw = random.Random(seed)
    kinds = sorted(weights)
    first = draw.sample(kinds, len(kinds))
    planned: list[Planned] = []
    at_s = draw.expovariate(1 / every_s)
    while at_s < seconds:
        kind = first.pop() if first else draw.choices(kinds, [weights[kind] for kind in kinds])[0]
        planned.append(Planned(at_s, kind, draw.getrandbits(32)))
        at_s += min(draw.expovariate(1 / every_s), 4 * every_s)
    return planned
