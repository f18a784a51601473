"""The page of exceptions, from `awa.errors`."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import awa
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
    return document("Exceptions", INTRODUCTION, table(("exception", "meaning"), rows), _silent())


def _silent() -> str:
    """Which of them no code uses yet."""
    declared = {Path(errors.__file__), Path(awa.__file__)}
    sources = (path for path in Path(awa.__file__).parent.rglob("*.py") if path not in declared)
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    names = [code(each.__name__) for each in classes() if not re.search(rf"\b{each.__name__}\b", text)]
    return f"There already, and raised by nothing in this release: {', '.join(names)}." if names else ""


def classes() -> list[type[AwaError]]:
    """Return the exceptions, in the order in which they are defined."""
    return [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, AwaError)]
