"""Finds where a task is declared, and refuses handlers and argument types that can never work."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from functools import partial
from types import CodeType, FrameType
from typing import Any, Final, NamedTuple, is_typeddict

from awa.errors import ValidationError
from awa.job.codec.shapes import shape_of

_PACKAGE: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_DEPTH_MAX: Final = 50
"""Wrappers that are looked through, one inside the other."""


class Declaration(NamedTuple):
    """A line of the application's source."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def here() -> Declaration | None:
    """Return the line outside this package that called into it; None where there is no such line."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return None if frame is None else Declaration(frame.f_code.co_filename, frame.f_lineno)


def located(refusal: ValidationError) -> ValidationError:
    """Return a refusal that begins with the line that declares the task."""
    place = here()
    return ValidationError(f"{place}: {refusal}" if place else str(refusal))


def defined(function: Any) -> Declaration | None:
    """Return the first line of a function, the innermost of what wraps it; None where it is not written in Python."""
    code = _code(_innermost(function))
    return None if code is None else Declaration(code.co_filename, code.co_firstlineno)


def is_async(handler: Callable[..., Any]) -> bool:
    """Return True if what `handler` returns is to be awaited."""
    return inspect.iscoroutinefunction(_called(handler))


def check_handler(handler: Any) -> None:
    """Raise ValidationError unless `handler` can be called with a job, and runs when it is."""
    if isinstance(handler, type):
        raise ValidationError(
            f"the handler is the class {handler.__qualname__}, and calling that makes an instance; give a function of "
            "one argument, the job, or an instance with such a method __call__"
        )
    if not callable(handler):
        raise ValidationError(f"a task's handler must be a function, not {handler!r}")
    called = _called(handler)
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise ValidationError(
            f"the handler {_name(handler)} has a yield in it: calling it makes a generator and runs nothing; let it "
            "return what it yields"
        )
    try:
        # What a decorator says of what it wraps is no matter: it may well pass on more than it is given.
        inspect.signature(handler, follow_wrapped=False).bind(handler)
    except ValueError:
        pass  # written in C, it does not say what it takes
    except TypeError as problem:
        raise ValidationError(
            f"the handler {_name(handler)} cannot be called with one argument, the job: {problem}. Write it as "
            "def handler(job); what the job was inserted with is job.args"
        ) from problem


def check_args_type(args_type: Any) -> None:
    """Raise ValidationError unless `job.args` can be made into `args_type`: a class with fields, `dict`, or None."""
    if args_type is None or args_type is dict:
        return
    if isinstance(args_type, str):
        raise ValidationError(
            f"args_type is the text {args_type!r}; to say the kind, write kind={args_type!r}. args_type is a class"
        )
    if not _has_fields(args_type):
        shown = args_type.__qualname__ if isinstance(args_type, type) else repr(args_type)
        raise ValidationError(
            f"args_type is {shown}; it must be a dataclass, an attrs, msgspec or pydantic class or a TypedDict; leave "
            "it out to get a dict"
        )
    if inspect.isabstract(args_type) or getattr(args_type, "_is_protocol", False):
        raise ValidationError(f"args_type is {args_type.__qualname__}, an abstract class: it has no instances")


def is_same(handler: Any, place: Declaration | None, other: Any, others_place: Declaration | None) -> bool:
    """Return True if one declaration has been executed twice: by a factory that is called again, by a module that is
    loaded again, or in a session in which it was typed again."""
    if place == others_place and (handler is other or (defined(handler) or object()) == defined(other)):
        return True
    names = [(getattr(each, "__module__", None), getattr(each, "__qualname__", None)) for each in (handler, other)]
    return names[0] == names[1] and others_place is not None and not os.path.exists(others_place.file)


def _has_fields(args_type: Any) -> bool:
    if not isinstance(args_type, type) or type(args_type).__name__ == "GenericAlias":  # on 3.10, list[int] is a type
        return False
    shape = shape_of(args_type)
    return (
        is_typeddict(args_type)
        or shape.is_pydantic
        or hasattr(args_type, "__pydantic_validator__")
        or (shape.attributes is not None and not shape.is_enum)
    )


def _called(function: Any) -> Any:
    """Return the function that runs when `function` is called: what a partial holds, or an object's `__call__`."""
    while isinstance(function, partial):
        function = function.func
    return function if inspect.isroutine(function) or isinstance(function, type) else type(function).__call__


def _innermost(function: Any) -> Any:
    for _ in range(_DEPTH_MAX):
        inner = function.func if isinstance(function, partial) else getattr(function, "__wrapped__", None)
        if inner is None:
            break
        function = inner
    return function


def _code(function: Any) -> CodeType | None:
    code = getattr(function, "__code__", None) or getattr(_called(function), "__code__", None)
    return code if isinstance(code, CodeType) else None


def _name(function: Any) -> str:
    return getattr(function, "__qualname__", None) or repr(function)
