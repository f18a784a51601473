"""The supervisor's main loop: signals → forkserver → pool."""

from __future__ import annotations

import selectors
from collections.abc import Callable
from signal import Signals
from time import monotonic
from typing import Final

from awa import telemetry
from awa.processes.forkserver import BootFailed, Event, Exited, Forked, ForkFailed, ForkServer, ForkServerGone, Ready
from awa.processes.signals import SignalQueue
from awa.processes.title import Title
from awa.supervisor.leader import Leader
from awa.supervisor.node import Node
from awa.supervisor.pool import Pool
from awa.supervisor.waker import Waker

SIGNALS: Final = (
    Signals.SIGTERM,
    Signals.SIGINT,
    Signals.SIGQUIT,
    Signals.SIGHUP,
    Signals.SIGTTIN,
    Signals.SIGTTOU,
    Signals.SIGUSR1,
)
KILL_WAIT_S: Final = 5.0
"""How long workers that were sent SIGKILL may take to be gone."""


class Loop:
    """Runs until every worker is gone after TERM, INT or QUIT."""

    def __init__(
        self,
        node: Node,
        server: ForkServer,
        start_server: Callable[[], ForkServer],
        signals: SignalQueue,
        pool: Pool,
        waker: Waker,
        leader: Leader,
    ) -> None:
        self._node = node
        self._server = server
        self._start_server = start_server
        self._coming: ForkServer | None = None
        self._leaving: list[ForkServer] = []
        self._signals = signals
        self._pool = pool
        self._waker = waker
        self._leader = leader
        self._title = Title("supervisor")
        self._kill_at: float | None = None

    def run(self) -> None:
        """Go round until done."""
        while not self._is_done():
            wait_s = self._pool.tend()
            self._show()
            self._wait(min(wait_s, self._until_kill()))
            for number in self._signals.take():
                self._obey(number)
            for server in self._servers():
                for event in server.poll():
                    self._heed(server, event)
            self._bury_old_servers()
            if self._until_kill() <= 0:
                self._kill()

    def stop_servers(self) -> None:
        """End every forkserver, and with it whatever is left of its workers."""
        for server in self._servers():
            server.stop()

    # Signals

    def _obey(self, number: Signals) -> None:
        telemetry.emit(telemetry.SUPERVISOR_SIGNAL, signal=number.name)
        match number:
            case Signals.SIGTERM | Signals.SIGINT if self._kill_at is None:
                self._drain()
            case Signals.SIGINT | Signals.SIGQUIT:
                self._kill()
            case Signals.SIGHUP:
                self._reload()
            case Signals.SIGTTIN:
                self._pool.resize(self._pool.size + 1)
            case Signals.SIGTTOU:
                self._pool.resize(self._pool.size - 1)
            case Signals.SIGUSR1:
                self._pool.dump_stacks()

    def _drain(self) -> None:
        self._kill_at = monotonic() + self._node.settings.drain_timeout_s
        telemetry.emit(telemetry.SUPERVISOR_DRAINING, workers=len(self._pool.workers))
        self._pool.drain()

    def _kill(self) -> None:
        self._kill_at = monotonic() + KILL_WAIT_S
        self._pool.kill()

    def _reload(self) -> None:
        """Load the application anew beside the old one, unless that is under way or we are leaving."""
        if self._coming is None and self._kill_at is None:
            self._coming = self._start_server()

    # Forkservers

    def _heed(self, server: ForkServer, event: Event) -> None:
        match event:
            case Ready():
                self._take_over(server, event)
            case BootFailed():
                telemetry.emit(telemetry.SUPERVISOR_RELOAD_FAILED, error=event.error, traceback=event.traceback)
            case Forked():
                self._pool.forked(event)
            case ForkFailed():
                self._pool.fork_failed(event)
            case Exited():
                self._pool.exited(event)
            case ForkServerGone():
                self._lost(server)

    def _take_over(self, server: ForkServer, ready: Ready) -> None:
        """A new forkserver has loaded the application: its workers replace the old ones, one by one."""
        self._node.kinds = ready.info["kinds"]
        if self._node.settings.queues is None:
            self._node.queues = ready.info["queues"]
        self._leaving.append(self._pool.renew(server))
        self._server, self._coming = server, None
        telemetry.emit(telemetry.SUPERVISOR_RELOADED, pid=server.pid)

    def _lost(self, server: ForkServer) -> None:
        """A forkserver has ended. The one in use is replaced; one that was to come has failed."""
        self._pool.lost_all(server)
        server.stop()
        if server is self._coming:
            self._coming = None
        elif server is self._server and self._kill_at is None:
            telemetry.emit(telemetry.SUPERVISOR_SERVICE_FAILED, service="forkserver", traceback="it has ended")
            self._coming = self._coming or self._start_server()

    def _bury_old_servers(self) -> None:
        for server in [server for server in self._leaving if not self._pool.has_workers_of(server)]:
            self._leaving.remove(server)
            server.stop()

    def _servers(self) -> list[ForkServer]:
        coming = [self._coming] if self._coming else []
        return [self._server, *coming, *self._leaving]

    # Waiting

    def _wait(self, wait_s: float) -> None:
        """Wait for a signal, a forkserver, a worker that has something to say, or the time."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._signals, selectors.EVENT_READ)
            selector.register(self._node.wakes.supervisor, selectors.EVENT_READ)
            for server in self._servers():
                selector.register(server, selectors.EVENT_READ)
            selector.select(max(0.0, wait_s))
        if self._node.wakes.supervisor.drain():
            self._waker.ring()

    def _until_kill(self) -> float:
        return 1.0 if self._kill_at is None else self._kill_at - monotonic()

    def _is_done(self) -> bool:
        return self._kill_at is not None and not self._pool.workers

    def _show(self) -> None:
        doing = "draining" if self._kill_at is not None else "leading" if self._leader.leads else "following"
        self._title.show(f"{self._node.name}: {len(self._pool.workers)} workers, {doing}")
