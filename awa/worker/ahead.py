"""Where the next jobs are: with many lanes, most claims look only at those that had them when all were last looked at.

To look at a thousand lanes takes the server some milliseconds, which is as long as hundreds of short jobs take.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Final

LANES_MANY: Final = 64
"""With no more lanes than this, every claim looks at all of them."""
BATCHES: Final = 512
"""So many batches are looked ahead …"""
WINDOW: Final = 96
"""… and so many of them are looked at by one claim: more than it takes, since others claim here too."""
GOOD_FOR_S: Final = 0.2
"""So late a job may be seen that should have come before others: no later than one a busy worker has not sealed."""


class Ahead:
    """The lanes of the next batches, in order, as far as they are known."""

    def __init__(self) -> None:
        self._lanes: list[int] = []
        self._until = 0.0

    def learn(self, lanes: Sequence[int]) -> None:
        """Note which lanes have the next batches: one entry a batch."""
        self._lanes = list(lanes)
        self._until = monotonic() + GOOD_FOR_S

    def forget(self) -> None:
        """Look at all lanes at the next claim."""
        self._lanes = []

    def window(self) -> list[int]:
        """Return the lanes the next claim is to look at; none: at all of them."""
        if len(self._lanes) < WINDOW or monotonic() >= self._until:
            self.forget()
        return list(dict.fromkeys(self._lanes[:WINDOW]))

    def move_on(self, claimed: Sequence[int]) -> None:
        """Note the lanes of the batches that were claimed, in order: what stood before the last one is gone, too."""
        if not self._lanes:
            return
        try:
            last = self._lanes.index(claimed[-1], len(claimed) - 1) if claimed else len(self._lanes)
        except ValueError:  # it was not expected: what is known is of no use
            last = len(self._lanes)
        del self._lanes[: last + 1]
