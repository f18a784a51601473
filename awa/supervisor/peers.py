"""Peers: for how long the other nodes have said nothing, by this process's own clock.

Heartbeats are counted, not dated. A node is silent from the moment at which its count was first seen, to the last
moment at which it was asked for and had not changed. So a clock that is set, of the server or of any node, makes no
node look dead or alive; and an answer that was long on its way counts as old. A count that has become less, and
was asked for after the greater one was known, is that of a database that has gone back to an earlier state.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import NamedTuple


class _SeenBeat(NamedTuple):
    beat: int
    since: float
    """Arrival of the first answer with this count, monotonic seconds."""
    until: float
    """Time of the question whose answer had this count last."""


class Peers:
    """The nodes that this one knows of. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[int, _SeenBeat] = {}

    def note(self, beats: Mapping[int, int], asked: float, answered: float) -> None:
        """Note the heartbeats of all nodes; `asked` and `answered` are monotonic seconds."""
        with self._lock:
            self._seen = {node: _seen(self._seen.get(node), beat, asked, answered) for node, beat in beats.items()}

    def silent(self, for_s: float, *, but: int) -> dict[int, int]:
        """Return the nodes, except node `but`, that have said nothing for `for_s` seconds, with the count of their
        heartbeats."""
        with self._lock:
            return {
                node: seen.beat for node, seen in self._seen.items() if node != but and seen.until - seen.since >= for_s
            }


def _seen(known: _SeenBeat | None, beat: int, asked: float, answered: float) -> _SeenBeat:
    if known is None or beat > known.beat:
        return _SeenBeat(beat, answered, asked)
    if beat < known.beat and asked < known.since:  # an older answer, overtaken by that of another thread
        return known
    if beat < known.beat:  # the database has gone back to an earlier state: what was counted since is not there
        return _SeenBeat(beat, answered, asked)
    return known._replace(until=max(known.until, asked))
