"""The forkserver's loop: fork when asked, reap what ended, say so."""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import signal
import sys
from collections.abc import Container, Iterator
from functools import partial
from signal import Signals

from awa.processes.board.seat import Seats
from awa.processes.forkserver.child import ChildMain, flush_output, live
from awa.processes.forkserver.events import Alive, Event, Exited, Forked, ForkFailed, name_of
from awa.processes.forkserver.wire import Message, Wire
from awa.processes.parent_death import adopt_orphans, children
from awa.processes.signals import SignalQueue
from awa.processes.wakeups import Wakes

NOTED = (
    Signals.SIGCHLD,
    # Meant for the supervisor, which decides. A service manager sends them to every process it sees.
    Signals.SIGTERM,
    Signals.SIGINT,
    Signals.SIGQUIT,
    Signals.SIGHUP,
    Signals.SIGUSR1,
    Signals.SIGUSR2,
    Signals.SIGTTIN,
    Signals.SIGTTOU,
)


class ForkLoop:
    """Forks workers and reaps them. Single-threaded, and the only one to reap its children: an id in `children` is
    that of a worker until this class says otherwise, so a signal sent to it cannot hit a stranger."""

    def __init__(self, wire: Wire, seats: Seats, wakes: Wakes, entry: ChildMain) -> None:
        self._wire = wire
        self._seats = seats
        self._wakes = wakes
        self._entry = entry
        self._signals = SignalQueue(NOTED)
        self._selector = selectors.DefaultSelector()
        self._selector.register(wire, selectors.EVENT_READ)
        self._selector.register(self._signals, selectors.EVENT_READ)
        self._running = True
        self._of_the_application = children()
        """Processes started by the application's import are its own affair."""
        adopt_orphans()
        self.children: dict[int, int] = {}
        """Process id to slot of the workers that have not been reaped."""

    def run(self) -> None:
        """Serve until the supervisor says stop, or is gone. All workers are dead afterwards."""
        while self._running:
            self._wait()
            self._signals.take()
            self._reap(os.WNOHANG)
            for message in self._wire.receive():
                self._obey(message)
            if self._wire.closed:
                break
        self._kill_all()

    def report(self, event: Event) -> None:
        """Tell the supervisor."""
        self._wire.send({"event": name_of(event), **event._asdict()})

    def _wait(self) -> None:
        waiting = selectors.EVENT_READ if self._wire.flush() else selectors.EVENT_READ | selectors.EVENT_WRITE
        self._selector.modify(self._wire, waiting)
        self._selector.select()

    def _obey(self, message: Message) -> None:
        match message["do"]:
            case "fork":
                self._fork(message["slot"], message["message"])
            case "kill":
                self._kill(message["slot"], Signals(message["signal"]), message["group"])
            case "ping":
                self.report(Alive())
            case "stop":
                self._running = False

    def _fork(self, slot: int, message: Message) -> None:
        parent = os.getpid()
        flush_output()  # or every child would write what is in the buffers once more
        # A signal in the child's first moments must not be noted in our queue, which it still shares.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, NOTED)
        try:
            pid = os.fork()
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            self.report(ForkFailed(slot, str(error)))
            return
        if pid == 0:
            live(
                partial(self._forget, mask), self._entry, partial(self._seats.take, slot), message, self._wakes, parent
            )
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self.children[pid] = slot
        _lead_group(pid)
        self.report(Forked(slot, pid))

    def _forget(self, mask: set[Signals | int]) -> None:
        """In the child: let go of everything that is the forkserver's."""
        _lead_group(0)
        self._signals.abandon()
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # it may be asked for its stack before it can listen
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self._selector.close()
        self._wire.close()

    def _kill(self, slot: int, number: Signals, group: bool) -> None:
        for pid, its_slot in self.children.items():
            if its_slot == slot:
                (_kill_group if group else os.kill)(pid, number)

    def _kill_all(self) -> None:
        for pid in self.children:
            _kill_group(pid, Signals.SIGKILL)
        while self.children:
            self._reap(0)
        # What jobs had started, and had left its group: now that the workers are gone it is this process's.
        while left := children() - self._of_the_application:
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, Signals.SIGKILL)
            self._reap(0)

    def _reap(self, options: int) -> None:
        """Bury every child that has ended; without WNOHANG, wait for one first."""
        for pid, status, usage in _ended(options, self.children):
            slot = self.children.pop(pid, None)
            if slot is None:
                continue  # a child of the application's import, or an orphan given to us
            code = os.waitstatus_to_exitcode(status)
            self.report(
                Exited(
                    slot=slot,
                    pid=pid,
                    code=code if code >= 0 else None,
                    signal=-code if code < 0 else None,
                    max_rss_kb=usage.ru_maxrss // (1024 if sys.platform == "darwin" else 1),
                    user_s=usage.ru_utime,
                    system_s=usage.ru_stime,
                )
            )


def _ended(options: int, groups: Container[int]) -> Iterator[tuple[int, int, resource.struct_rusage]]:
    """Reap children and yield id, status and usage of each; without WNOHANG, wait for the first.

    One that leads a group takes its group along. Where the system can show an ended child without reaping it, the group
    is killed while the dead leader still holds the id; elsewhere right after.
    """
    with contextlib.suppress(ChildProcessError):  # no children left
        while True:
            if hasattr(os, "waitid"):
                seen = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | options)
                if seen is None:
                    return
                if seen.si_pid in groups:
                    _kill_group(seen.si_pid, Signals.SIGKILL)
                pid, status, usage = os.wait4(seen.si_pid, 0)
            else:
                pid, status, usage = os.wait4(-1, options)
                if pid == 0:
                    return
                if pid in groups:
                    _kill_group(pid, Signals.SIGKILL)
            yield pid, status, usage
            options |= os.WNOHANG


def _lead_group(pid: int) -> None:
    """Make `pid` (0: this process) lead a group of its own. Parent and child both do it: either may be first."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended already
        os.setpgid(pid, pid)


def _kill_group(pid: int, number: Signals) -> None:
    """Signal a child and its group. A handler can have moved the child to another group, so the child comes by itself,
    too: its id cannot be recycled before it is reaped."""
    for send in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the group is empty, or not to be signalled
            send(pid, number)
