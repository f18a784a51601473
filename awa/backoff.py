"""How long a failed job waits before its next attempt."""

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
_CAPPED_FROM = 17
"""2^17 s is more than a day: from this attempt on the delay is one day, whatever the jitter."""


def delay_us(attempt: int, uniform: float) -> int:
    """Return the delay in microseconds after `attempt` (counted from 1) has failed.

    The delay is 2^attempt seconds plus up to a quarter of that as jitter, at most one day. `uniform` is a random
    number from [0, 1); the caller draws it, so that this stays a function of its arguments.
    """
    if attempt >= _CAPPED_FROM:
        return DAY_US
    base_us = SECOND_US << max(attempt, 0)
    return min(base_us + int(base_us * 0.25 * uniform), DAY_US)
