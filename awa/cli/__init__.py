"""`awa`: the operator's command, one file a subject; and `awa-supervisor`, which loads none of them.

In: a command line. Out: text or JSON on standard output, errors on standard error, an exit code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from awa.cli.group import main as main

__all__ = ["main"]


def __getattr__(name: str) -> Any:
    if name != "main":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from awa.cli.group import main

    return main
