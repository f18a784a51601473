"""Reads the parts of an exception with care: it is a user's, and any part of it may raise or lie."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, NamedTuple

TYPE_NAME_MAX: Final = 200
"""Characters of an exception's name: a class made at run time may have any."""
RELATED_MAX: Final = 8
"""Most related exceptions that are read: causes, contexts and members of a group."""


class Related(NamedTuple):
    """An exception beside the one that was raised."""

    how: str
    """"caused by", "while handling" or "in the group"."""
    exc: BaseException


def name(exc: BaseException) -> str:
    """Return the qualified name of an exception's class."""
    found: str = _of_class(exc, "__qualname__")
    return found[:TYPE_NAME_MAX]


def module(exc: BaseException) -> str | None:
    """Return the module that an exception's class is defined in; None for Python's own."""
    found = _of_class(exc, "__module__")  # its body may make it anything
    return None if type(found) is not str or found == "builtins" else found[:TYPE_NAME_MAX]


def lineage(exc: BaseException) -> tuple[type, ...]:
    """Return an exception's class and all that it is derived from."""
    found: tuple[type, ...] = _of_class(exc, "__mro__")
    return found


def message(exc: BaseException) -> str:
    """Return what an exception says, and below that its notes."""
    return "\n".join([_said(exc), *_notes(exc)])


def last_lines(exc: BaseException, lines_max: int) -> list[str]:
    """Return where an exception was raised: the last lines of its traceback, two a frame, innermost last.

    A line in front of them says how many frames were left out. Source that could not be parsed is a place too.
    """
    trace = _own(exc, "__traceback__")
    shown = lines_max // 2
    total = sum(1 for _ in traceback.walk_tb(trace))
    note = [f"  [{total - shown} frames truncated]"] if total > shown else []
    return [*note, *_frames(trace, shown), *_unparsed(exc)]


def related(exc: BaseException) -> Iterator[Related]:
    """Yield the exceptions that led to `exc` and the members of its group, recursively; at most `RELATED_MAX`.

    What `raise … from None` hides stays hidden.
    """
    yield from _related(exc, {id(exc)})


def _related(exc: BaseException, seen: set[int]) -> Iterator[Related]:
    for each in _neighbours(exc):
        if id(each.exc) not in seen and len(seen) <= RELATED_MAX:
            seen.add(id(each.exc))
            yield each
            yield from _related(each.exc, seen)


def _neighbours(exc: BaseException) -> Iterator[Related]:
    cause, context = _own(exc, "__cause__"), _own(exc, "__context__")
    if cause is not None:
        yield Related("caused by", cause)
    elif context is not None and not _own(exc, "__suppress_context__"):
        yield Related("while handling", context)
    for member in _attribute(exc, "exceptions", tuple):  # of an ExceptionGroup, or the like of one before Python 3.11
        if isinstance(member, BaseException):
            yield Related("in the group", member)


def _said(exc: BaseException) -> str:
    try:
        return _text(str(exc))
    except BaseException as broken:  # noqa: BLE001 - the user's __str__ may raise anything; say so in its place
        return f"<no message: __str__ raised {name(broken)}>"


def _notes(exc: BaseException) -> list[str]:
    return [_text(note) for note in _attribute(exc, "__notes__", list) if isinstance(note, str)]


def _own(exc: BaseException, attribute: str) -> Any:
    """Return an attribute that every exception has, not what a subclass makes of it."""
    return BaseException.__dict__[attribute].__get__(exc)


def _of_class(exc: BaseException, attribute: str) -> Any:
    """Return an attribute that every class has, not what a metaclass makes of it."""
    return type.__dict__[attribute].__get__(type(exc))


def _attribute(exc: BaseException, attribute: str, kind: type) -> Any:
    """Return an attribute of this very type, else an empty one."""
    try:
        value = getattr(exc, attribute, None)
    except BaseException:  # noqa: BLE001 - a user's property; what it is to show is not worth the job's outcome
        return kind()
    return value if type(value) is kind else kind()


def _text(text: str) -> str:
    """Return plain text: a subclass of str may have methods that raise."""
    return "".join([text])  # a copy, unless it is plain already


def _frames(trace: TracebackType | None, shown: int) -> list[str]:
    try:
        frames = traceback.extract_tb(trace, limit=-shown)
    except Exception as broken:  # noqa: BLE001 - source comes from the import system, which may be a user's too
        return [f"  <no traceback: {name(broken)}>"]
    lines = []
    for frame in frames:
        lines.append(f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}')
        lines += [f"    {frame.line}"] if frame.line else []
    return lines


def _unparsed(exc: BaseException) -> list[str]:
    """Return the place and the line that a SyntaxError is about: it is not in the traceback."""
    text = _attribute(exc, "text", str).strip() if issubclass(type(exc), SyntaxError) else ""
    if not text:
        return []
    return [f'  File "{_attribute(exc, "filename", str)}", line {_attribute(exc, "lineno", int)}', f"    {text}"]
