"""The forkserver program: `python -m awa.processes.forkserver SOCKET PARENT`. Only `ForkServer` starts it."""

from __future__ import annotations

import gc
import importlib
import json
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from awa.processes.board.seat import Seats
from awa.processes.exit_codes import ExitCode
from awa.processes.forkserver.events import BootFailed, Ready, name_of
from awa.processes.forkserver.serve import ForkLoop
from awa.processes.forkserver.wire import Message, Wire
from awa.processes.parent_death import die_with_parent, outlive_parent
from awa.processes.title import Title
from awa.processes.wakeups import Wakes

_NOT_THE_APPLICATION = (str(Path(__file__).parents[2]), importlib.__file__, "<frozen importlib")


def main(socket_fd: int, parent: int) -> int:
    """Boot and serve. Returns the exit code."""
    die_with_parent(parent)
    title = Title("forkserver")
    title.show("loading the application")
    sock = socket.socket(fileno=socket_fd)
    sock.set_inheritable(False)
    orders = _first_message(sock)
    wire = Wire(sock)
    try:
        fork_loop, ready = _boot(orders, wire)
    except BaseException as error:  # noqa: BLE001 - reported; an application that calls sys.exit has failed to load, too
        failed = BootFailed(error=f"{type(error).__name__}: {error}", traceback=_traceback(error))
        _send_last(sock, {"event": name_of(failed), **failed._asdict()})
        return ExitCode.BOOT_FAILED
    title.show("")
    fork_loop.report(ready)
    outlive_parent()
    fork_loop.run()
    return ExitCode.OK


def _boot(orders: Message, wire: Wire) -> tuple[ForkLoop, Ready]:
    """Load the application and make everything ready to fork."""
    seats = Seats(orders["board"])
    wakes = Wakes.inherit(orders["wakes"])
    entry = _resolve(orders["child"])
    info = _resolve(orders["boot"])(orders["message"])
    json.dumps(info)  # raises here, where it can be reported, and not in the loop
    # Frozen, what was loaded is never touched by a collection again, and its pages stay shared with the workers.
    gc.collect()
    gc.freeze()
    warnings = [*info.pop("warnings", []), *_thread_warnings()]
    return ForkLoop(wire, seats, wakes, entry), Ready(info, warnings)


def _resolve(name: str) -> Callable[..., Any]:
    """Return what "package.module:function" names."""
    module, _, attribute = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return found


def _traceback(error: BaseException) -> str:
    """Return the traceback of `error` without Awa's own frames and those of `importlib` that every one would begin
    with."""
    frames = error.__traceback__
    while frames and frames.tb_next and frames.tb_frame.f_code.co_filename.startswith(_NOT_THE_APPLICATION):
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))


def _thread_warnings() -> list[str]:
    """Say which threads the application started: a fork copies none of them, but does copy the locks they hold."""
    names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if names:
        return [
            f"the application starts threads when it is imported ({', '.join(sorted(names))}); they do not exist in "
            "the workers, and a lock one of them holds at the fork stays locked there for ever: start them on first use"
        ]
    native = _native_threads()
    if native > 1:
        return [
            f"a library the application imports has started {native - 1} native threads (often a numerical one: see "
            "OMP_NUM_THREADS); they do not exist in the workers"
        ]
    return []


def _native_threads() -> int:
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else 1


def _first_message(sock: socket.socket) -> Message:
    """Wait for the supervisor's orders."""
    with sock.makefile("rb", buffering=0) as stream:
        message: Message = json.loads(stream.readline())
    return message


def _send_last(sock: socket.socket, message: Message) -> None:
    """Send `message` and wait until it is on its way: this process is about to end."""
    sock.setblocking(True)
    sock.sendall(json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
