"""Watches: for how long the state that each worker shows has been the same, whichever worker was in its slot before."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from awa.processes.silence import Silence
from awa.supervisor.occupants import Occupant

LOOKS: Final = 2
"""A pause of this process for so many times the time between two looks does not count as one of the worker's."""


class _SeenStep(NamedTuple):
    occupant: Occupant
    what: Any
    silence: Silence


class Watches:
    """The last observation of each worker."""

    def __init__(self, look_s: float) -> None:
        """Each is looked at about every `look_s` seconds."""
        self._longest_s = LOOKS * look_s
        self._seen: dict[int, _SeenStep] = {}

    def unchanged_s(self, occupant: Occupant, what: Any) -> float:
        """Return for how many seconds the worker has shown this. A pause of the machine does not count."""
        index = occupant.slot.index
        seen = self._seen.get(index)
        if seen is None or seen.occupant is not occupant or seen.what != what:
            seen = self._seen[index] = _SeenStep(occupant, what, Silence(self._longest_s))
        return seen.silence.look()

    def forget(self, slot: int) -> None:
        """Begin again with the worker in a slot."""
        self._seen.pop(slot, None)
