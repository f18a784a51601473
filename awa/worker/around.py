"""What an application wants around its handlers: context managers, entered one inside the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from awa.task import Around


def within(makes: Sequence[Around], job: Any, call: Callable[[], Any]) -> Any:
    """Call `call` inside the context managers made for `job`, the first outermost; return what it returns.

    What it raises is raised here, unless one of them raises something else: a job that failed does not become one
    that is done because somebody around it has swallowed the error.
    """
    if not makes:
        return call()
    errors: list[BaseException] = []
    try:
        with makes[0](job):
            try:
                value = within(makes[1:], job, call)
            except BaseException as error:
                errors.append(error)
                raise
        if errors:
            raise errors[0]
        return value
    finally:
        errors.clear()  # an error that held this frame would hold all that its traceback does until a collection
