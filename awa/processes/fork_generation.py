"""Numbers this process in its line of forks without a system call, which `os.getpid` makes each time."""

from __future__ import annotations

import os

_generation = 0


def generation() -> int:
    """Return a number that is another one in a child than in the process that forked it."""
    return _generation


def _next() -> None:
    global _generation
    _generation += 1


os.register_at_fork(after_in_child=_next)
