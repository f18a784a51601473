"""The supervisor's side of a forkserver."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from time import monotonic
from typing import Any, Final

from awa.processes.board.scoreboard import Board
from awa.processes.forkserver.events import BY_NAME, Alive, Event, Exited, Forked, ForkFailed, ForkServerGone, Ready
from awa.processes.forkserver.wire import Message, Wire
from awa.processes.silence import Silence
from awa.processes.stopped import stopped_by
from awa.processes.wakeups import Wakes

_GONE_TIMEOUT_S = 2.0
PING_S: Final = 1.0
STOPPED_S: Final = 5.0
"""A forkserver that does not answer for so long, and is stopped, is given up: a signal or a debugger has done it."""
FORKSERVER_HUNG_S: Final = 30.0
"""One that is not stopped may be slow: a fork of a large process while memory is short takes seconds."""


class ForkServer:
    """A running forkserver. All methods return at once, except `stop`. To one that has gone, orders mean nothing."""

    def __init__(self, process: subprocess.Popen[bytes], wire: Wire, board: Board) -> None:
        """Use `ForkServer.start`."""
        self._process = process
        self._wire = wire
        self._board = board
        self._gone = False
        self._asked: set[int] = set()
        self._silence: Silence | None = None
        """Of one that has loaded the application: before, it may take as long as it likes."""
        self._ping_at = 0.0
        self.workers: dict[int, int] = {}
        """Slot to process id of the workers known to live."""

    @classmethod
    def start(
        cls,
        boot: str,
        child: str,
        *,
        board: Board,
        wakes: Wakes,
        message: Message | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
    ) -> ForkServer:
        """Start a forkserver. Call it from the main thread: on Linux the boot dies with the thread that started it.

        `boot` and `child` are "package.module:function". `boot(message)` runs once in the forkserver; it loads the
        application and returns a dict that can be written as JSON, which comes back in `Ready`; `warnings` in
        it join the forkserver's own.
        `child(slot: Slot, message: dict, wakes: WorkerWakes) -> int` runs in every worker and returns its exit code.
        `message` travels over the socket: unlike arguments it cannot be seen in `ps`. Standard output and error are
        inherited. Raises OSError when the process cannot be started.
        """
        parent_end, child_end = socket.socketpair()
        with contextlib.ExitStack() as undo, child_end:
            undo.callback(parent_end.close)
            process = subprocess.Popen(
                [sys.executable, "-m", __package__, str(child_end.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                pass_fds=(child_end.fileno(), board.fd, *wakes.fds()),
                start_new_session=True,  # Ctrl-C in the terminal is for the supervisor alone
                env=None if env is None else dict(env),
                cwd=cwd,
            )
            undo.pop_all()
        server = cls(process, Wire(parent_end), board)
        server._wire.send(
            {"boot": boot, "child": child, "message": message or {}, "board": board.fd, "wakes": wakes.ends()}
        )
        return server

    @property
    def pid(self) -> int:
        """The forkserver's process id."""
        return self._process.pid

    def fileno(self) -> int:
        """Return a descriptor that is readable when `poll` has something to return."""
        return self._wire.fileno()

    def fork(self, slot: int, message: Message | None = None) -> None:
        """Ask for a worker in `slot`, which is wiped: take what you need of the last one's remains first.

        Answered by `Forked` or `ForkFailed`. Raises ValueError when a worker of this forkserver lives there.
        """
        if slot in self.workers or slot in self._asked:
            holder = self.workers.get(slot, "about to start")
            raise ValueError(f"slot {slot} is taken by a worker ({holder}); wait until it has exited")
        if self._gone:
            return
        self._asked.add(slot)
        self._board[slot].wipe()
        self._order({"do": "fork", "slot": slot, "message": message or {}})

    def kill(self, slot: int, number: signal.Signals = signal.SIGKILL, *, group: bool = True) -> None:
        """Signal the worker in `slot`, by default with all it has started. Nothing happens when it has been reaped."""
        self._order({"do": "kill", "slot": slot, "signal": int(number), "group": group})

    def hangs(self) -> str | None:
        """Have it show that it lives; return in words how it hangs, if it has not done so for too long.

        Call this at least once a second.
        """
        if self._gone or self._silence is None:
            return None
        if monotonic() >= self._ping_at:
            self._ping_at = monotonic() + PING_S
            self._order({"do": "ping"})
        silent_s = self._silence.look()
        if silent_s > STOPPED_S and (how := stopped_by(self.pid)):
            return f"has not answered for {silent_s:.0f} s: it is {how}"
        return f"has not answered for {silent_s:.0f} s" if silent_s > FORKSERVER_HUNG_S else None

    def kill_hung(self) -> None:
        """Kill one that hangs. `poll` returns `ForkServerGone` when it has ended."""
        self._process.kill()

    def poll(self) -> list[Event]:
        """Return what happened since the last call. `ForkServerGone` is the last event there ever is."""
        if self._gone:
            return []
        self._wire.flush()
        # Asked first, so that its last words are received below. An open stream alone is no proof of life: a process
        # that the application forked while it was imported may hold the socket.
        ended = self._process.poll() is not None
        events = self._receive()
        if ended or self._wire.closed:
            events.append(self._bury())
        return events

    def stop(self, timeout_s: float = 5.0) -> list[Event]:
        """Kill the workers that are left, end the forkserver, killing it after `timeout_s`, and close everything.

        Let workers drain before. Returns what happened since the last `poll`, such as the workers' exits.
        """
        events: list[Event] = []
        if not self._gone:
            self._order({"do": "stop"})
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
            events = self._receive()
            self._kill_everything()
            self.workers.clear()
            self._gone = True
        self._wire.close()
        return events

    def _order(self, message: Message) -> None:
        if not self._gone:  # or nothing is there to obey, and `ForkServerGone` says so
            self._wire.send(message)

    def _receive(self) -> list[Event]:
        events = [self._note(message) for message in self._wire.receive()]
        if events and self._silence is not None:
            self._silence.beat()
        return [event for event in events if not isinstance(event, Alive)]

    def _note(self, message: Message) -> Event:
        fields: dict[str, Any] = dict(message)
        event = BY_NAME[fields.pop("event")](**fields)
        if isinstance(event, (Forked, ForkFailed)):
            self._asked.discard(event.slot)
        if isinstance(event, Ready):
            self._silence = Silence(PING_S)
        elif isinstance(event, Forked):
            self.workers[event.slot] = event.pid
        elif isinstance(event, Exited):
            self.workers.pop(event.slot, None)
        return event

    def _bury(self) -> ForkServerGone:
        """Reap a forkserver whose socket has closed, and end the workers it may have left."""
        self._gone = True
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GONE_TIMEOUT_S)
        for slot in self._asked:  # forked, perhaps, and the news of it lost
            if self._is_of_its_session(pid := self._board[slot].pid):
                self.workers[slot] = pid
        status = self._kill_everything()
        workers, self.workers = self.workers, {}
        return ForkServerGone(status if status >= 0 else None, -status if status < 0 else None, workers)

    def _is_of_its_session(self, pid: int) -> bool:
        """Return whether a process that a worker claims to be is one of this forkserver's: the board may hold
        anything."""
        try:
            return pid > 0 and os.getsid(pid) == self.pid
        except (ProcessLookupError, PermissionError, OverflowError):
            return False

    def _kill_everything(self) -> int:
        """Kill the forkserver if it lives, then the groups of its workers. Returns the forkserver's status."""
        self._process.kill()  # does nothing once it has been reaped
        status = -int(signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):  # it hangs in the kernel, and ends when that lets go of it
            status = self._process.wait(_GONE_TIMEOUT_S)
        # The workers were not our children, so their ids could in theory belong to others by now. They have died within
        # the last moments, and an id comes round again only after all the others have been used.
        for pid in self.workers.values():
            for kill in (os.killpg, os.kill):  # a handler can have moved its worker to another group
                with contextlib.suppress(ProcessLookupError, PermissionError):  # gone with all it had started
                    kill(pid, signal.SIGKILL)
        return status
