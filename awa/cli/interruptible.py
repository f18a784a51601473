"""Commands that start things, and must not leave them behind when they are ended half-way."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from awa.cli.failures import Refused
from awa.cli.output import say

EXIT_INTERRUPTED = 130
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Refused):
    """It was asked to end."""

    exit_code = EXIT_INTERRUPTED


@contextmanager
def interruptible(what: str) -> Iterator[None]:
    """Let INT, TERM and HUP end the block in order: once, and not again while it tidies up."""
    before = {number: signal.getsignal(number) for number in ENDING}
    before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}  # as under nohup

    def interrupt(number: int, frame: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        say("\ninterrupted; tidying up", err=True)
        raise KeyboardInterrupt

    for number in before:
        signal.signal(number, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"{what} was interrupted; everything it had started has been stopped and removed") from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
