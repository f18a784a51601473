"""What led to an exception, its notes and members; and exceptions that resist being looked at."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest

from awa.task.error_entry import (
    ERROR_BYTES_MAX,
    ERROR_MESSAGE_BYTES_MAX,
    ERROR_RELATED_BYTES_MAX,
    ERROR_TRACEBACK_BYTES_MAX,
    describe,
)
from awa.task.outcome import decide_error
from tests.task.test_error_entry import raised


def heads(exc: BaseException) -> list[str]:
    """The lines that are no part of a traceback."""
    return [line for line in describe(exc).splitlines() if not line.startswith("  ")]


def chained(cause: BaseException | None = None, context: BaseException | None = None) -> ValueError:
    exc = ValueError("outer")
    exc.__context__ = context
    if cause is not None:
        exc.__cause__ = cause
    return exc


def test_what_caused_it_is_told_with_its_place() -> None:
    def inner() -> None:
        raise KeyError("customer 7")

    def outer() -> None:
        try:
            inner()
        except KeyError as error:
            raise ValueError("no such order") from error

    with pytest.raises(ValueError, match="no such order") as caught:
        outer()
    lines = describe(caught.value).splitlines()
    at = lines.index("caused by KeyError: 'customer 7'")
    assert lines[0] == "ValueError: no such order"
    assert lines[at - 1] == '    raise ValueError("no such order") from error'
    assert lines[at + 1] == "  [1 frames truncated]"
    assert lines[at + 2].endswith(", in inner")
    assert lines[at + 3] == '    raise KeyError("customer 7")'
    assert len(lines) == at + 4


def test_what_was_being_handled_is_told() -> None:
    assert heads(chained(context=OSError("gone"))) == ["ValueError: outer", "while handling OSError: gone"]


def test_a_cause_hides_the_context_and_from_none_hides_both() -> None:
    both = chained(cause=KeyError("k"), context=OSError("gone"))
    assert heads(both) == ["ValueError: outer", "caused by KeyError: 'k'"]
    hidden = chained(context=OSError("gone"))
    hidden.__suppress_context__ = True
    assert heads(hidden) == ["ValueError: outer"]


def test_chains_that_bite_their_tail_end() -> None:
    first, second = chained(), OSError("gone")
    first.__cause__, second.__cause__ = second, first
    assert heads(first) == ["ValueError: outer", "caused by OSError: gone"]
    first.__cause__ = first
    assert heads(first) == ["ValueError: outer"]


def test_long_chains_are_cut() -> None:
    exc: BaseException = ValueError("0")
    for number in range(1, 5000):
        exc, cause = ValueError(str(number)), exc
        exc.__cause__ = cause
    assert heads(exc) == ["ValueError: 4999", *(f"caused by ValueError: {number}" for number in range(4998, 4990, -1))]


def test_notes_follow_the_message() -> None:
    exc = ValueError("bad")
    vars(exc)["__notes__"] = ["row 7", "column\0 b", 5, b"bytes"]  # add_note() came with Python 3.11
    assert heads(exc) == ["ValueError: bad", "row 7", "column\\x00 b"]
    vars(exc)["__notes__"] = "not a list"
    assert heads(exc) == ["ValueError: bad"]


class Group(Exception):
    """As an ExceptionGroup, which Python 3.10 does not have."""

    def __init__(self, message: str, exceptions: list[BaseException]) -> None:
        super().__init__(f"{message} ({len(exceptions)} sub-exceptions)")
        self.exceptions = tuple(exceptions)


@pytest.mark.parametrize(
    "make", [Group, *([vars(__import__("builtins"))["ExceptionGroup"]] if sys.version_info >= (3, 11) else [])]
)
def test_the_members_of_a_group_and_what_caused_them(make: Any) -> None:
    first = chained(cause=KeyError("k"))
    group = make("both", [first, make("inner", [OSError("gone")])])
    assert heads(group) == [
        f"{make.__name__}: both (2 sub-exceptions)",
        "in the group ValueError: outer",
        "caused by KeyError: 'k'",
        f"in the group {make.__name__}: inner (1 sub-exception{'s' if make is Group else ''})",
        "in the group OSError: gone",
    ]


def test_a_syntax_error_shows_its_line() -> None:
    with pytest.raises(SyntaxError) as caught:
        compile("x = 1\nif x\n", "rules.py", "exec")
    lines = describe(caught.value).splitlines()
    assert lines[0].startswith("SyntaxError: ")
    assert lines[-2:] == ['  File "rules.py", line 2', "    if x"]


def test_a_syntax_error_without_a_place_is_one_line() -> None:
    assert describe(SyntaxError("no")) == "SyntaxError: no"


def test_recursion() -> None:
    def endless(depth: int) -> int:
        return endless(depth + 1) + 1

    with pytest.raises(RecursionError) as caught:
        endless(0)
    lines = describe(caught.value).splitlines()
    assert lines[0].startswith("RecursionError: maximum recursion depth exceeded")
    assert lines[1].endswith("frames truncated]")
    assert 10 <= len(lines) <= 12


class Text(str):
    """Text whose every method bites."""

    __slots__ = ()

    def replace(self, *_: Any) -> str:
        raise RuntimeError("replace")

    def encode(self, *_: Any, **__: Any) -> bytes:
        raise RuntimeError("encode")

    def __format__(self, _: str) -> str:
        raise RuntimeError("format")


class Hostile(Exception):
    exceptions = property(lambda self: 1 / 0)
    __notes__ = property(lambda self: 1 / 0)
    __cause__ = property(lambda self: 1 / 0)  # type: ignore[assignment]
    __context__ = property(lambda self: 1 / 0)  # type: ignore[assignment]
    __traceback__ = property(lambda self: 1 / 0)  # type: ignore[assignment]
    __class__ = property(lambda self: 1 / 0)  # type: ignore[assignment]

    def __str__(self) -> str:
        return Text("still readable")

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def test_an_exception_that_resists_is_told_nevertheless() -> None:
    outcome = decide_error(Hostile(), 1, 2)
    assert outcome.payload is not None
    assert b'"Hostile: still readable"' in outcome.payload


def test_a_class_that_resists_is_told_nevertheless() -> None:
    class Meta(type):
        def __getattribute__(cls, name: str) -> Any:
            raise RuntimeError("no")

    class Closed(Exception, metaclass=Meta):
        pass

    exc: Exception = BaseException.__new__(Closed, "said")
    outcome = decide_error(exc, 1, 1)
    assert outcome.payload is not None
    assert b"Closed: said" in outcome.payload


def test_source_that_cannot_be_looked_up_costs_the_traceback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loader:
        def get_source(self, name: str) -> str:
            raise RuntimeError("no source")

    module = ModuleType("strange")
    module.__dict__.update(__loader__=Loader(), __name__="strange")
    exec(compile("def handler():\n    raise ValueError('bad')\n", "<strange>", "exec"), module.__dict__)
    with pytest.raises(ValueError, match="bad") as caught:
        module.handler()
    assert describe(caught.value).splitlines()[0] == "ValueError: bad"


class Own(BaseException):
    pass


@pytest.mark.parametrize("exc", [KeyboardInterrupt(), SystemExit(3), GeneratorExit(), Own()])
def test_what_is_no_exception_is_told_like_one(exc: BaseException) -> None:
    assert describe(raised(exc)).startswith(f"{type(exc).__name__}: ")


def test_however_large_the_parts_the_whole_is_within_its_limit() -> None:
    exc = ValueError("ā" * 100_000)
    vars(exc)["__notes__"] = ["n" * 100_000] * 10
    exc.__cause__ = Group("g" * 100_000, [raised(OSError("x" * 100_000)) for _ in range(100)])
    outcome = decide_error(raised(exc), 1, 2)
    assert outcome.payload is not None
    assert len(outcome.payload) < ERROR_BYTES_MAX + 1000
    assert b"raise exc\\ncaused by Group: ggg" in outcome.payload
    assert ERROR_MESSAGE_BYTES_MAX + ERROR_TRACEBACK_BYTES_MAX + ERROR_RELATED_BYTES_MAX + 300 < ERROR_BYTES_MAX
