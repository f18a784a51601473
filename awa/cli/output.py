"""Prints the output of commands: tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar

import click

from awa.cli.failures import Refused
from awa.text.printable import printable, printable_json, printable_line

Command = TypeVar("Command", bound=Callable[..., Any])
Column = tuple[str, int]
"""A heading and the least width; below zero: aligned to the right."""


def json_option(command: Command) -> Command:
    """Give a command the option `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def say(text: str = "", *, err: bool = False) -> None:
    """Print text for people, to standard error if `err`. What steers a terminal is shown as an escape."""
    _write(printable(text), err=err)


def show_json(value: Any) -> None:
    """Print a value as JSON, indented."""
    _write(printable_json(json.dumps(jsonable(value), indent=2, ensure_ascii=False)))


def _write(text: str, *, err: bool = False) -> None:
    """Print text. Raises Refused where it cannot be written, as on a full disk; a reader that has gone is click's."""
    try:
        click.echo(text, err=err)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Refused(
            f"the output cannot be written: {error.strerror}. What the command was to change may have been changed: "
            "look before you repeat it"
        ) from error


def jsonable(value: Any) -> Any:
    """Return a value made of what JSON has: states by name, times in ISO 8601, bytes in hexadecimal, records as
    objects."""
    match value:
        case Enum():
            return str(value)
        case datetime():
            return value.isoformat()
        case bytes():
            return value.hex()
        case dict():
            return {name: jsonable(item) for name, item in value.items()}
        case tuple() if hasattr(value, "_asdict"):
            return jsonable(value._asdict())
        case list() | tuple():
            return [jsonable(item) for item in value]
        case _ if is_dataclass(value):
            return {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
        case _:
            return value


def show_table(columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> None:
    """Print rows under headings. A column is as wide as its widest entry: nothing is cut off."""
    lines = [[heading for heading, _ in columns], *([printable_line(str(cell)) for cell in row] for row in rows)]
    widths = [
        max(abs(least), *(len(line[at]) for line in lines)) * (-1 if least < 0 else 1)
        for at, (_, least) in enumerate(columns)
    ]
    for line in lines:
        cells = (
            cell.rjust(-width) if width < 0 else cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        )
        say("  ".join(cells).rstrip())


def show_fields(pairs: Iterable[tuple[str, Any]]) -> None:
    """Print names and values, one pair a line, the values below each other."""
    shown = [(printable_line(name), printable(text(value))) for name, value in pairs]
    width = max(len(name) for name, _ in shown)
    for name, value in shown:
        say(f"{name.ljust(width)}  {indented(value, width + 2)}")


def text(value: Any) -> str:
    """Return a value in one form for all commands: `-` for none, times in ISO 8601, JSON for what has parts."""
    match jsonable(value):
        case None | "":
            return "-"
        case str() as plain:
            return plain
        case other:
            return json.dumps(other, ensure_ascii=False)


def indented(value: str, by: int) -> str:
    """Return text whose lines after the first begin `by` columns in."""
    return ("\n" + " " * by).join(value.splitlines())
