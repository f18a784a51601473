"""How a command fails: its text on stderr, which begins with `error:`, exit code 1, and no traceback."""

from __future__ import annotations

from typing import IO, Any

import click

from awa.errors import AwaError
from awa.printable import printable


class Refused(click.ClickException):
    """Something Awa was asked to do was not done."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it as all Awa commands do."""
        click.echo(printable(f"error: {self.format_message()}"), file=file, err=file is None)


class Commands(click.Group):
    """A group whose commands may raise AwaErrors."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except AwaError as error:
            raise Refused(str(error)) from error
