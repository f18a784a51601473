"""The supervisor's main loop: signals → forkservers → pool."""

from __future__ import annotations

import select
from signal import Signals
from time import monotonic
from typing import Final

from awa.processes.exit_codes import ExitCode
from awa.processes.forkserver import BootFailed, Event, Exited, Forked, ForkFailed, ForkServer, ForkServerGone, Ready
from awa.processes.signals import SignalQueue
from awa.processes.title import Title
from awa.supervisor.beginnings import Beginnings
from awa.supervisor.heartbeat import Heartbeat
from awa.supervisor.leader import Leader
from awa.supervisor.listener import Listener
from awa.supervisor.node import Node
from awa.supervisor.pool import WorkerPool
from awa.supervisor.servers import Servers
from awa.supervisor.stalls import Stalls
from awa.supervisor.vitals import Vitals
from awa.supervisor.watchdog import Watchdog
from awa.telemetry import events

KILL_WAIT_S: Final = 5.0
"""Seconds after which SIGKILL is sent again to a worker that is still there."""
KILLS_MAX: Final = 3
"""After so many, a worker that is still there hangs in the kernel: leave it to its fate."""
ROUND_S: Final = 1.0
JOBS_NAMED: Final = 10
"""Of the jobs that are waited for, so many are named."""


class SupervisorLoop:
    """Runs until every worker is gone after TERM, INT or QUIT."""

    def __init__(
        self,
        node: Node,
        servers: Servers,
        signals: SignalQueue,
        pool: WorkerPool,
        listener: Listener,
        heartbeat: Heartbeat,
        leader: Leader,
        vitals: Vitals,
        app_dsn: str | None,
    ) -> None:
        """`app_dsn` is the database that the application names."""
        self._node = node
        self._app_dsn = app_dsn
        self._servers = servers
        self._signals = signals
        self._pool = pool
        self._listener = listener
        self._heartbeat = heartbeat
        self._leader = leader
        self._vitals = vitals
        self.has_given_up = False
        """A part of this supervisor hangs, or has died."""
        self._watchdog = Watchdog(node, pool.interrupt, pool.end)
        self._stalls = Stalls(node, pool.end)
        self._beginnings = Beginnings(node, pool.interrupt, pool.end)
        self._title = Title("supervisor")
        self._kill_at: float | None = None
        self._kills = 0

    def run(self) -> None:
        """Go round until done."""
        while not self._is_done():
            wait_s = min(
                self._pool.tend(),
                self._servers.tend(self._pool.has_workers_of),
                self._until_kill(),
                self._watchdog.look(),
            )
            self._stalls.look()
            self._beginnings.look()
            self._node.main.beat()
            if not self.has_given_up and (problem := self._vitals.look()) is not None:
                self._give_up(problem)
            self._show()
            self._wait(wait_s)
            for number in self._signals.take():
                self._obey(number)
            for server in self._servers.all():
                for event in server.poll():
                    self._heed(server, event)
            if self._until_kill() <= 0:
                self._kill(f"still running {self._node.settings.drain_timeout_s:g} s after shutdown began")

    def end(self) -> None:
        """End every forkserver, and with it whatever is left of its workers."""
        servers = self._servers.all()
        for event in self._servers.stop():
            if isinstance(event, Exited):
                self._pool.exited(event)
        for server in servers:
            self._pool.lost_all(server)  # those that it has not told of, because it hung itself

    # Signals

    def _obey(self, number: Signals) -> None:
        events.emit(events.SUPERVISOR_SIGNAL, signal=number.name)
        match number:
            case Signals.SIGTERM | Signals.SIGINT if self._kill_at is None:
                self._drain()
            case Signals.SIGINT | Signals.SIGQUIT:
                self._kill(f"{number.name} asked to stop at once")
            case Signals.SIGHUP if self._kill_at is None:
                self._servers.reload()
            case Signals.SIGTTIN:
                self._pool.resize(self._pool.size + 1)
            case Signals.SIGTTOU:
                self._pool.resize(self._pool.size - 1)
            case Signals.SIGUSR1:
                self._pool.dump_stacks()

    def _drain(self) -> None:
        self._kill_at = monotonic() + self._node.settings.drain_timeout_s
        events.emit(
            events.SUPERVISOR_DRAINING,
            workers=len(self._pool.workers),
            jobs=self._running_jobs() or None,
            at_most_s=self._node.settings.drain_timeout_s,
            hint="INT (Ctrl-C) once more, or QUIT, ends them at once; their jobs are retried",
        )
        self._node.is_draining = True
        self._servers.close()
        self._pool.drain()

    def _running_jobs(self) -> str:
        """Name the jobs that run, for people to read."""
        runs = [(each.slot.label, job.job_id) for each, job in self._node.occupants.look() if job is not None]
        named = ", ".join(f"{job} ({label})" for label, job in runs[:JOBS_NAMED])
        return named + (f" and {len(runs) - JOBS_NAMED} more" if len(runs) > JOBS_NAMED else "")

    def _give_up(self, problem: str) -> None:
        """End in order, because of what cannot be replaced. Others take the jobs; a service manager starts another."""
        self.has_given_up = True
        reason = f"{problem}; this supervisor drains, gives its jobs back and exits with code {ExitCode.HUNG:d}"
        events.emit(events.SUPERVISOR_GIVING_UP, reason=reason)
        if self._kill_at is None:
            self._drain()

    def _kill(self, why: str) -> None:
        self._kill_at = monotonic() + KILL_WAIT_S
        self._kills += 1
        self._servers.close()
        self._pool.kill(why)

    # Forkservers

    def _heed(self, server: ForkServer, event: Event) -> None:
        match event:
            case Ready():
                self._take_over(server, event)
            case BootFailed():
                self._servers.refused(event)
            case Forked():
                self._pool.forked(event)
            case ForkFailed():
                self._pool.fork_failed(event)
            case Exited():
                self._pool.exited(event)
            case ForkServerGone():
                self._lost(server, event)

    def _take_over(self, server: ForkServer, ready: Ready) -> None:
        """A new forkserver has loaded the application: its workers replace the old ones, one by one."""
        self._node.kinds = ready.info["kinds"]
        if self._node.settings.queues is None:
            self._node.queues = ready.info["queues"]
        self._servers.ready(server)
        self._pool.renew(server)
        self._listener.forget_lanes()
        self._heartbeat.ring()  # it tells the database what we have handlers for
        for warning in ready.warnings + self._moved(ready):
            events.emit(events.SUPERVISOR_WARNING, warning=warning)
        events.emit(events.SUPERVISOR_RELOADED, pid=server.pid, kinds=",".join(self._node.kinds))

    def _moved(self, ready: Ready) -> list[str]:
        """Say so if the new code uses another database: this supervisor stays with the one it signed in to."""
        before, self._app_dsn = self._app_dsn, ready.info["dsn"]
        if self._node.settings.database_url or self._app_dsn == before:
            return []
        return ["the application names another database now; jobs are still taken from the old one until a restart"]

    def _lost(self, server: ForkServer, event: ForkServerGone) -> None:
        """A forkserver has ended, and its workers with it."""
        how = f"exit code {event.code}" if event.signal is None else f"signal {event.signal}"
        if server is self._servers.current and server not in self._servers.hung:
            events.emit(events.SUPERVISOR_SERVICE_FAILED, service="forkserver", error=f"ended with {how}")
        self._pool.lost_all(server, self._servers.hung.get(server))
        self._servers.gone(server, how)
        if self._kill_at is not None:
            self._servers.close()

    # Waiting

    def _wait(self, wait_s: float) -> None:
        """Wait for a signal, a forkserver, a worker that has something to say, or the time."""
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        poll.register(self._node.wakes.supervisor, select.POLLIN)
        for server in self._servers.all():
            poll.register(server, select.POLLIN)
        poll.poll(max(0.0, wait_s * 1000))
        if self._node.wakes.supervisor.drain():
            self._listener.ring()

    def _until_kill(self) -> float:
        return ROUND_S if self._kill_at is None else self._kill_at - monotonic()

    def _is_done(self) -> bool:
        return self._kill_at is not None and (not self._pool.workers or self._kills > KILLS_MAX)

    def _show(self) -> None:
        doing = "draining" if self._kill_at is not None else "leading" if self._leader.leads else "following"
        workers = len(self._pool.workers)
        self._title.show(f"{self._node.name}: {workers} worker{'s' if workers != 1 else ''}, {doing}")
