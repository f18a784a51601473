"""Servers: the forkserver in use, one that is loading the application again, and old ones whose workers still live."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from awa.processes.forkserver import BootFailed, Event, ForkServer
from awa.telemetry import events

RESTART_FIRST_S: Final = 0.5
RESTART_MAX_S: Final = 30.0
SERVER_INTERVAL_S: Final = 1.0
"""Interval at which they are pinged."""
LONG_LOAD_S: Final = 30.0
"""An application that has been loading for so long may never be done: say so, and do not make another try wait for it.
"""


class Servers:
    """The forkservers of a node. Called from the main thread only; never waits but in `stop`."""

    def __init__(self, current: ForkServer, start: Callable[[], ForkServer]) -> None:
        """`start` starts another one."""
        self.current: ForkServer | None = current
        """The one to fork workers from; None after it was lost, until another is ready."""
        self._start = start
        self._coming: ForkServer | None = None
        self._leaving: list[ForkServer] = []
        self._loads_since = 0.0
        self._has_warned = False
        self._has_said = False
        """True if it has been said why the one that is loading fails."""
        self._again = False
        self._failures = 0
        self.hung: dict[ForkServer, str] = {}
        """Those that were killed because they hung, and how."""
        self._restart_at: float | None = None

    def all(self) -> list[ForkServer]:
        """Return every one that lives."""
        return [server for server in (self.current, self._coming, *self._leaving) if server is not None]

    def reload(self) -> None:
        """Load the application again beside the old one. Asked while that is under way, do it once more afterwards: the
        code may have changed since. One that has been at it for very long is given up for that."""
        if self._coming is not None and not self._loads_for_long():
            self._again = True
            return
        if self._coming is not None:
            self._coming.stop(timeout_s=0)
            self._coming = None
            self._say_failed("it was still loading; it is loaded once more")
        self._restart_at = None
        self._again, self._has_warned, self._has_said = False, False, False
        self._loads_since = monotonic()
        try:
            self._coming = self._start()
        except OSError as error:
            self._say_failed(f"cannot start a forkserver: {error}")
            self._failed()

    def ready(self, server: ForkServer) -> None:
        """The one that was to come has loaded the application: use it."""
        if self.current is not None:
            self._leaving.append(self.current)
        self.current, self._coming = server, None
        self._failures = 0
        self._reload_again()

    def refused(self, failure: BootFailed) -> None:
        """The one that is loading cannot load the application; it ends by itself."""
        self._has_said = True
        self._say_failed(failure.error, failure.traceback)

    def gone(self, server: ForkServer, how: str) -> None:
        """One has ended, with `how`. The one in use is replaced; the one to come has failed."""
        server.stop()
        self.hung.pop(server, None)
        if server is self._coming:
            if not self._has_said:
                self._say_failed(f"the application ended the process that loaded it ({how})")
            self._coming = None
            self._failed()
            self._reload_again()
        elif server is self.current:
            self.current = None
            self._restart_at = monotonic()
        else:
            self._leaving.remove(server)

    def tend(self, has_workers: Callable[[ForkServer], bool]) -> float:
        """End old ones that have no workers any more; start another in place of a lost one, when that is due.

        Returns after how many seconds to do it again, at the latest.
        """
        for server in [server for server in self._leaving if not has_workers(server)]:
            self._leaving.remove(server)
            server.stop()
        for server in self.all():
            self._give_up_if_hung(server)
        self._warn_of_a_long_load()
        if self._restart_at is None or self._coming is not None:
            return SERVER_INTERVAL_S
        if monotonic() >= self._restart_at:
            self.reload()
            return RESTART_FIRST_S
        return min(SERVER_INTERVAL_S, self._restart_at - monotonic())

    def _give_up_if_hung(self, server: ForkServer) -> None:
        """Kill one that does not answer: it forks, reaps and kills nothing any more, nor says so."""
        if server in self.hung or (how := server.hangs()) is None:
            return
        self.hung[server] = how
        events.emit(
            events.SUPERVISOR_SERVICE_FAILED,
            service="forkserver",
            error=f"the forkserver (process {server.pid}) {how}; it and its workers are killed, and replaced",
        )
        server.kill_hung()

    def close(self) -> None:
        """Start no more, and do not wait for one that is loading."""
        self._again, self._restart_at = False, None
        if self._coming is not None:
            self._coming.stop(timeout_s=0)
            self._coming = None

    def stop(self) -> list[Event]:
        """End every one, and with it whatever is left of its workers; return their last words."""
        self.close()
        return [event for server in self.all() for event in server.stop()]

    def _say_failed(self, error: str, traceback: str | None = None) -> None:
        """Say that the application could not be loaded, and what goes on meanwhile."""
        goes_on = "the old version, until another HUP" if self.current is not None else "nothing: it is tried again"
        events.emit(events.SUPERVISOR_RELOAD_FAILED, error=error, goes_on=goes_on, traceback=traceback)

    def _failed(self) -> None:
        """After a failed start: with an old one in use, leave it at that; with none, try again, ever later."""
        if self.current is None:
            self._restart_at = monotonic() + min(RESTART_MAX_S, RESTART_FIRST_S * 2.0 ** min(self._failures, 10))
            self._failures += 1

    def _loads_for_long(self) -> bool:
        return monotonic() - self._loads_since >= LONG_LOAD_S

    def _warn_of_a_long_load(self) -> None:
        if self._coming is None or self._has_warned or not self._loads_for_long():
            return
        self._has_warned = True
        meanwhile = "there are no workers" if self.current is None else "the old version goes on"
        events.emit(
            events.SUPERVISOR_WARNING,
            warning=f"the application has been loading for {LONG_LOAD_S:g} s (process {self._coming.pid}); {meanwhile} "
            "until it is done, and another HUP ends this try and loads it again",
        )

    def _reload_again(self) -> None:
        if self._again:
            self._again = False
            self.reload()
