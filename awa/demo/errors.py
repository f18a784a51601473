"""Errors that end a demo early."""

from awa.errors import AwaError


class DemoError(AwaError):
    """The demo cannot go on; the text says why."""
