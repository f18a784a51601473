"""Shows the progress of the demo: a bar on a terminal, plain lines elsewhere, all on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

import click

STEPS = 10
"""Elsewhere than on a terminal there is one line for each tenth of the work."""


class Progress:
    """The progress of the work."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._shown = 0
        self._began = monotonic()

    def show(self, done: int) -> None:
        """Show that `done` files are done."""
        step = done * STEPS // self._total
        if step > self._shown:
            self._shown = step
            seconds = monotonic() - self._began
            say(f"  {done * 100 // self._total:3} %  {done:,} of {self._total:,} files, {seconds:.1f} s")

    def note(self, text: str) -> None:
        """Say something in between."""
        say(text)


class Bar(Progress):
    """The same, for a terminal."""

    def __init__(self, total: int, bar: click._termui_impl.ProgressBar[int]) -> None:
        super().__init__(total)
        self._bar = bar

    def show(self, done: int) -> None:
        self._bar.update(done - self._bar.pos)

    def note(self, text: str) -> None:
        say(f"\r\033[K{text}")  # takes the bar's line; the bar goes on in the next one


@contextmanager
def progress(total: int) -> Iterator[Progress]:
    """Show progress for the length of the block."""
    if not sys.stderr.isatty():
        yield Progress(total)
        return
    with click.progressbar(length=total, label="  analysing", file=sys.stderr, show_pos=True) as bar:
        yield Bar(total, bar)


def say(text: str) -> None:
    """Write one line."""
    click.echo(text, err=True)
