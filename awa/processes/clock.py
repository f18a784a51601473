"""Two clocks: the one the board is written in, and the server's, by which everything is decided that has a date."""

from __future__ import annotations

from time import monotonic_ns, time_ns


def monotonic_us() -> int:
    """Return microseconds of the system's monotonic clock, which all processes of one machine share."""
    return monotonic_ns() // 1000


class ServerClock:
    """The database server's time, kept as its distance from the monotonic clock.

    The wall clocks of machines differ, and are set; so is the server's, which the next answer tells. Until the first
    one it is the wall clock of this machine.
    """

    __slots__ = ("ahead_us",)

    def __init__(self) -> None:
        self.ahead_us = time_ns() // 1000 - monotonic_us()
        """Offset of the server's time, since the epoch, from the monotonic clock, microseconds."""

    def learn(self, server_us: int, asked_us: int, answered_us: int) -> None:
        """Take in what the server's clock showed between two moments of the monotonic clock.

        It lies between two bounds. What is known already stays where it does, too: an answer that was long on its way
        says less than an earlier one.
        """
        self.ahead_us = min(max(self.ahead_us, server_us - answered_us), server_us - asked_us)

    def now_us(self) -> int:
        """Return the server's time, microseconds since the epoch."""
        return monotonic_us() + self.ahead_us
