"""Measures the silence of a peer, as far as the listener can tell.

A machine, a container or a whole process may be stopped for a while, and then everything is late at once. So only the
time is counted in which the listener was awake: between two looks no more than it usually takes to look again.
"""

from __future__ import annotations

from time import monotonic


class Silence:
    """Counts from its making on. `beat` may be called by any thread, `look` by one."""

    def __init__(self, look_s: float) -> None:
        """`look_s`: the listener looks at least this often, in seconds, while it is awake."""
        self._look_s = look_s
        self._looked_at = monotonic()
        self._has_beaten = False
        self._seconds = 0.0

    def beat(self) -> None:
        """Say something."""
        self._has_beaten = True

    def look(self) -> float:
        """Return for how many seconds nothing has been said."""
        now = monotonic()
        if self._has_beaten:
            self._has_beaten = False
            self._seconds = 0.0
        else:
            self._seconds += min(now - self._looked_at, self._look_s)
        self._looked_at = now
        return self._seconds
