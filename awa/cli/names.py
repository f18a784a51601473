"""Names that a command is given: a queue or kind that nothing knows is a slip of the pen, and refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from awa.cli.failures import Refused
from awa.client.client import Client
from awa.text.suggest import like, unknown

Command = TypeVar("Command", bound=Callable[..., Any])

_ELSEWHERE = {"queue": "awa queue stats lists all", "kind": "awa job list shows kinds"}


def force_option(meaning: str) -> Callable[[Command], Command]:
    """Give a command the option `--force`, for a name that may be meant although nothing knows it yet."""
    return click.option("--force", is_flag=True, help=meaning)


def refuse_unknown(
    chosen: Client, *, queue: str | None = None, kind: str | None = None, way_out: str = "", may_be_new: bool = False
) -> None:
    """Raise Refused for a queue or kind that no job ever had, no live node works on, and nothing is set for.

    `way_out` is what to do where it is meant all the same. `may_be_new`: only if it is like a name that is known.
    """
    given = [(what, name) for what, name in (("queue", queue), ("kind", kind)) if name is not None]
    if not given:
        return
    known = chosen.known_names()
    for what, name in given:
        names = known.queues if what == "queue" else known.kinds
        if name not in names and (like(name, names) or not may_be_new):
            sentence = unknown(what, name, names, _ELSEWHERE[what])
            raise Refused(f"{sentence}; {way_out}" if way_out else sentence)


MEANT = "if you mean it, add --force"
