"""Put first on the path of a node, this shifts the wall clock of all its processes by `$CHAOS_SKEW_S` seconds.

Only what Python code reads through `time` is shifted, before anybody else has imported it. The monotonic clock is not:
no clock that is set wrong moves it.
"""

import os
import time

_SKEW_S = int(os.environ.get("CHAOS_SKEW_S", "0"))


def _shift() -> None:
    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + _SKEW_S
    time.time_ns = lambda: real_ns() + _SKEW_S * 1_000_000_000


_shift()
