"""How long a job may take: as it says itself, else as its task says, else as its queue does."""

from __future__ import annotations

from awa.errors import JobTimeout
from awa.policy import Policy
from awa.processes.slot import Flag, Limits


def limits_of(policy: Policy, timeout_ms: int | None, queue_deadline_s: float) -> Limits:
    """Return the limits of a job. 0 at any level means none, and ends the search.

    Args:
        policy: of its task.
        timeout_ms: its own time-out; None: it has none of its own.
        queue_deadline_s: that of its queue.
    """
    if timeout_ms is None:
        timeout_s = queue_deadline_s if policy.timeout_s is None else policy.timeout_s
        timeout_us = round(timeout_s * 1e6)
    else:
        timeout_us = timeout_ms * 1000
    flags = Flag.RAISE_ON_CANCEL if policy.raise_on_cancel else Flag.NONE
    if policy.gives_up_on(JobTimeout("time is up")):
        flags |= Flag.FAILS_ON_TIMEOUT
    return Limits(timeout_us, round(policy.grace_s * 1e6), int(flags))
