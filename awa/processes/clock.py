"""The one clock the board is written in."""

from time import monotonic_ns


def monotonic_us() -> int:
    """Return microseconds of the system's monotonic clock, which all processes of one machine share."""
    return monotonic_ns() // 1000
