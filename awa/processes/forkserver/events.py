"""Messages of a forkserver to its supervisor. The names of the fields are the names on the wire."""

from __future__ import annotations

from typing import Any, NamedTuple


class Ready(NamedTuple):
    """The application is loaded; workers may be forked."""

    info: dict[str, Any]
    """The return value of the boot function."""
    warnings: list[str]
    """Acts of the application at import that do not go well with forking."""


class BootFailed(NamedTuple):
    """The application could not be loaded. The forkserver exits with `ExitCode.BOOT_FAILED`."""

    error: str
    """One line."""
    traceback: str


class Forked(NamedTuple):
    """A worker has started."""

    slot: int
    pid: int


class ForkFailed(NamedTuple):
    """The system refused to fork: no memory, or too many processes."""

    slot: int
    error: str


class Exited(NamedTuple):
    """A worker has ended and its process group is gone."""

    slot: int
    pid: int
    code: int | None
    """Exit code; None when a signal ended it."""
    signal: int | None
    max_rss_kb: int
    user_s: float
    system_s: float


class Alive(NamedTuple):
    """The forkserver has got round to answering a `ping`. `ForkServer.poll` keeps this to itself."""


class ForkServerGone(NamedTuple):
    """The forkserver itself has ended. Nothing comes after this."""

    code: int | None
    """Exit code; None when a signal ended it."""
    signal: int | None
    workers: dict[int, int]
    """Slot to process id of the workers it had. They have been killed; their exit status is lost."""


Event = Ready | BootFailed | Forked | ForkFailed | Exited | Alive | ForkServerGone

BY_NAME: dict[str, type[Event]] = {
    "ready": Ready,
    "boot_failed": BootFailed,
    "forked": Forked,
    "fork_failed": ForkFailed,
    "exited": Exited,
    "alive": Alive,
}


def name_of(event: Event) -> str:
    """Return the event's name on the wire."""
    return next(name for name, kind in BY_NAME.items() if type(event) is kind)
