"""An embedded server in the foreground: for a terminal beside the one in which you work."""

import os
import select
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from awa.embedded.server import start
from awa.errors import EmbeddedError

CHECK_SECONDS = 1.0
STOPPING = (signal.SIGINT, signal.SIGTERM)


def run_foreground(
    path: str | os.PathLike[str] | None = None,
    *,
    port: int | None = None,
    settings: Mapping[str, str] | None = None,
    announce: Callable[[str], object] = print,
) -> None:
    """Start or join a server, tell its DSN, and stay until INT or TERM; then leave it: it stops unless others use it.

    Has to be called in the main thread, as it handles signals.

    Args:
        path, port, settings: as for `awa.embedded.start`.
        announce: called with the DSN.

    Raises:
        EmbeddedError: it does not start, or ends on its own.
    """
    with _stop_signals() as stopped, start(path, port=port, settings=settings) as server:
        announce(server.dsn)
        while not stopped(CHECK_SECONDS):
            if not server.is_running():
                raise EmbeddedError(f"The server in {server.path} has ended. Its last words:\n{server.log_tail()}")


@contextmanager
def _stop_signals() -> Iterator[Callable[[float], bool]]:
    """Note INT and TERM instead of dying of them. Yields a function which waits for one, in seconds."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    handlers = {number: signal.signal(number, lambda *_: None) for number in STOPPING}
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def stopped(seconds: float) -> bool:
        readable, _, _ = select.select([reader], [], [], seconds)
        return bool(readable) and any(number in STOPPING for number in os.read(reader, 64))

    try:
        yield stopped
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.close(reader)
        os.close(writer)
