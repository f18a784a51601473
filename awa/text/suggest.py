"""The one rule for names: one that nothing knows is refused, with what is like it, or with all there are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

LISTED_MAX: Final = 20
"""So many names are listed where none is like the unknown one."""


def like(name: str, known: Iterable[str]) -> list[str]:
    """Return the known names that `name` may be a slip of the pen for, the likeliest first, at most three."""
    from difflib import get_close_matches  # only a mistake needs it

    return get_close_matches(name, list(known), n=3, cutoff=0.7)


def hint(name: str, known: Iterable[str], elsewhere: str = "") -> str:
    """Return what to write instead of `name`: the known names that are like it, else all of them, in
    their order.

    `elsewhere` says where to find all, "awa queue stats lists them", when they are too many.
    """
    names = list(known)
    if similar := like(name, names):
        return f"did you mean {' or '.join(similar)}?"
    if len(names) < 2:
        return f"there is only {names[0]}" if names else "there are none"
    if len(names) <= LISTED_MAX or not elsewhere:
        return f"there are {', '.join(names)}"
    return elsewhere


def unknown(what: str, name: str, known: Iterable[str], elsewhere: str = "") -> str:
    """Return the sentence that refuses a name: "no queue is called 'emial'; did you mean email?"."""
    return f"no {what} is called {name!r}; {hint(name, known, elsewhere)}"
