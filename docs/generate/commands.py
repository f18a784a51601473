"""The page of commands, from the click tree."""

from __future__ import annotations

from collections.abc import Iterator

import click

from awa.cli import main as awa
from docs.generate.markdown import code, document, table

INTRODUCTION = """
Two commands are installed. `awa-supervisor` runs workers; its options are the
[settings](settings.md), and nothing else. `awa` is the operator's command; `python -m awa` is another name for it.

Which database a command is about: `--database-url`, before or after the command's name; left out, `$DATABASE_URL`. A
command that fails says why on standard error, beginning with `error:`, and exits with 1. One that was called in a wrong
way shows its usage there, then what was wrong, and exits with 2. `--json` prints what a program can read.

Exit codes of `awa-supervisor`: 0 drained, 1 the database cannot be used, 2 a setting is wrong, 3 the application cannot
be loaded.
"""


def page() -> str:
    """Return the page."""
    return document("Commands", INTRODUCTION, *(_section(path, command) for path, command in walk()))


def walk(command: click.Command = awa, path: str = "awa") -> Iterator[tuple[str, click.Command]]:
    """Yield every command with the words that call it, groups before what is in them."""
    yield path, command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from walk(command.commands[name], f"{path} {name}")


def _section(path: str, command: click.Command) -> str:
    parts = [f"## `{path}`", _help(command), _options(command)]
    if isinstance(command, click.Group):
        parts.insert(2, "Commands: " + ", ".join(code(f"{path} {name}") for name in sorted(command.commands)) + ".")
    else:
        parts.insert(1, f"    {_usage(path, command)}")
    return "\n\n".join(part for part in parts if part)


def _help(command: click.Command) -> str:
    return "\n\n".join(" ".join(text.split()) for text in (command.help or "").split("\n\n"))


def _usage(path: str, command: click.Command) -> str:
    arguments = [param for param in command.params if isinstance(param, click.Argument)]
    return " ".join([path, "[OPTIONS]", *(each.metavar or str(each.name).upper() for each in arguments)])


def _options(command: click.Command) -> str:
    options = [param for param in command.params if isinstance(param, click.Option)]
    if not options:
        return ""
    return table(("option", "meaning"), ((_names(option), _meaning(option)) for option in options))


def _names(option: click.Option) -> str:
    value = "" if option.is_flag or option.count else f" {_value(option)}"
    return ", ".join(code(f"{name}{value}") for name in option.opts)


def _value(option: click.Option) -> str:
    """What stands for the value of an option: its own word, N for a number, else its name."""
    if option.metavar:
        return option.metavar
    return "N" if isinstance(option.type, (click.IntRange, click.types.IntParamType)) else (option.name or "").upper()


def _meaning(option: click.Option) -> str:
    parts = [option.help or ""]
    if isinstance(option.type, click.Choice):
        parts.append("One of " + ", ".join(map(code, option.type.choices)) + ".")
    if isinstance(option.type, click.IntRange):
        parts.append(_range(option.type))
    if option.show_default and option.default is not None:
        parts.append(f"Default: {code(option.default)}.")
    return " ".join(parts)


def _range(numbers: click.IntRange) -> str:
    return f"At least {numbers.min}." if numbers.max is None else f"From {numbers.min} to {numbers.max}."
