"""The page of exceptions, from `awa.errors`."""

from __future__ import annotations

import inspect

from awa import errors
from awa.errors import AwaError
from docs.generate.markdown import code, document, table

INTRODUCTION = """
Everything that Awa raises on purpose is an `AwaError`. Its text says what happened, to what, and what to do next.
Mistakes in a call itself, such as an unknown keyword, are `TypeError`, `ValueError` or `OverflowError`, as usual.
"""


def page() -> str:
    """Return the page."""
    rows = ((code(each.__name__), inspect.getdoc(each)) for each in classes())
    return document("Exceptions", INTRODUCTION, table(("exception", "meaning"), rows))


def classes() -> list[type[AwaError]]:
    """Return the exceptions, in the order in which they are defined."""
    return [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, AwaError)]
