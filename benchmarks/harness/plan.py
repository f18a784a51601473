"""How much is to be measured."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.harness.rivals.specs import RIVALS


@dataclass(frozen=True)
class Plan:
    """What the user has asked for. A scenario knows its own sizes; this says which of them."""

    rounds: int = 3
    jobs: int | None = None
    """How many jobs, instead of a scenario's own number; the rivals get no more either."""
    seconds: float = 0.7
    """How long a measurement of a rate is to take, about."""
    full: bool = False
    """Sizes that take long: ten million jobs, minutes with a pinned horizon."""
    rivals: tuple[str, ...] = tuple(spec.name for spec in RIVALS)

    def size(self, usual: int, full: int | None = None) -> int:
        """Return how many jobs to take: `usual` is the scenario's own number, `full` the one for those with time."""
        if self.jobs is not None:
            return self.jobs
        return full if self.full and full is not None else usual

    def span(self, usual: float, full: float | None = None) -> float:
        """Return how many seconds to take: `usual` where a rate is measured for one, or `full` for those with time; a
        smaller number of jobs shortens them to that."""
        if self.jobs is not None:
            return min(usual, 1.0) * self.seconds
        return full if self.full and full is not None else usual * self.seconds
