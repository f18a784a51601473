"""What a run is made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    """The size of a run. The defaults are those of a long one."""

    seed: int
    seconds: float
    """How long faults are injected. Draining and checking come on top."""
    every_s: float = 1.3
    """Seconds between two faults, in the mean."""
    jobs_per_s: float = 60.0
    nodes: int = 3
    workers: int = 3
    """Workers of each node."""
    heartbeat_s: float = 2.0
    """Less than the supervisor's own default: nodes are to be taken for dead in the time there is."""
    leader_s: float = 2.0
    retention_h: float = 0.005
    """How long ended jobs stay, in hours: segments are to be dropped while faults come."""
    drain_timeout_s: float = 3.0
    """How long a node told to end lets its jobs run. Some take longer, and are killed."""
    settle_s: float = 240.0
    """How long the fleet may take to work everything off, once the faults are over."""
    kinds: tuple[str, ...] = ()
    """The kinds of faults; empty: all."""

    @property
    def stale_s(self) -> float:
        """After how long without a heartbeat a node is taken for dead."""
        return 3 * self.heartbeat_s
