"""Prints failures of commands: text on stderr that begins with `error:`, exit code 1, and no traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from awa.errors import AwaError
from awa.text.printable import printable, printable_line


class Refused(click.ClickException):
    """Something Awa was asked to do was not done."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it as all Awa commands do."""
        click.echo(printable(f"error: {self.format_message()}"), file=file, err=file is None)


@contextmanager
def printable_usage() -> Iterator[None]:
    """Escape what steers a terminal in click's own messages: they quote names and values as they were given."""
    try:
        yield
    except click.UsageError as error:
        message = error.format_message()
        if isinstance(error, click.exceptions.NoArgsIsHelpError) or printable_line(message) == message:
            raise
        raise click.UsageError(printable_line(message), error.ctx) from None


class Commands(click.Group):
    """A group whose commands may raise AwaErrors."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the group's own options."""
        with printable_usage():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that the arguments name."""
        try:
            with printable_usage():
                return super().invoke(ctx)
        except AwaError as error:
            raise Refused(str(error)) from error


class ReportingCommand(click.Command):
    """A command that stands alone, in no group."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the command's options."""
        with printable_usage():
            return super().make_context(*args, **extra)
