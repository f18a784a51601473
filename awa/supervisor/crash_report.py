"""Crash report: says which kinds of jobs keep killing their workers. The counting is the database's, so it survives
us."""

from __future__ import annotations

from typing import Final

from awa.telemetry import events

FROM_DEATHS: Final = 3
"""One death may be an accident, and two the same job's."""
WINDOW_S: Final = 600
"""Over which the database counts."""
HINT: Final = "awa queue deaths counts them, awa job show has how each attempt ended"


class CrashReport:
    """The kinds this supervisor has reported, each with its count at that time."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def note(self, kind: str, deaths: int) -> None:
        """Note that a job of `kind` has killed a worker, the `deaths`th in the window. Says so at the third and at each
        doubling from there; again when it had become quiet."""
        if deaths < FROM_DEATHS:
            self._next.pop(kind, None)
        elif deaths >= self._next.get(kind, FROM_DEATHS):
            threshold = self._next.get(kind, FROM_DEATHS)
            while threshold <= deaths:
                threshold *= 2
            self._next[kind] = threshold
            events.emit(events.RESCUE_CRASH_LOOP, kind=kind, deaths=deaths, window_s=WINDOW_S, hint=HINT)
