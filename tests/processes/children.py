"""What the forkservers under test boot and run in their workers. Named by "tests.processes.children:…"."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from awa.job.attempt import Settlement
from awa.processes.board.slot import Slot, Stop, WorkerState
from awa.processes.clock import monotonic_us
from awa.processes.exit_codes import ExitCode
from awa.processes.signals import SignalQueue
from awa.processes.title import Title
from awa.processes.wakeups import WorkerWakes

Message = dict[str, Any]

booted_in: int = 0
stray: subprocess.Popen[bytes] | None = None


def boot(message: Message) -> Message:
    """Load a small application."""
    global booted_in
    booted_in = os.getpid()
    random.seed(1)
    return {"greeting": message.get("greeting"), "pid": booted_in, "group": os.getpgid(0)}


def boot_failing(message: Message) -> Message:
    """An application that cannot be loaded."""
    raise LookupError(f"no such app: {message['app']}")


def boot_exiting(message: Message) -> Message:
    """An application that calls sys.exit when it is imported."""
    sys.exit("please set SECRET_KEY")


def boot_unwritable(message: Message) -> Message:
    """A boot function that returns what JSON cannot hold."""
    return {"app": object()}


def boot_segfaulting(message: Message) -> Message:
    """An application with a broken extension module."""
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def boot_hanging(message: Message) -> Message:
    """An application that never finishes loading, in C code."""
    Path(message["path"]).write_text(f"{os.getpid()}\n")
    ctypes.CDLL(None).sleep(1000)
    return {}


def boot_forking(message: Message) -> Message:
    """An application that forks a process when it is imported, which keeps all it has inherited."""
    pid = os.fork()
    if pid == 0:
        signal.pause()
    return {"helper": pid}


def boot_without_waitid(message: Message) -> Message:
    """An ordinary application, on a system that cannot show an ended child without reaping it."""
    del os.waitid
    return {}


def boot_threaded(message: Message) -> Message:
    """An application that starts a thread when it is imported."""
    threading.Thread(target=threading.Event().wait, name="metrics", daemon=True).start()
    return {}


def boot_printing(message: Message) -> Message:
    """An application that prints without ending the line."""
    print("loaded", end=" ")
    return {}


def boot_with_helper(message: Message) -> Message:
    """An application that starts a helper process when it is imported, and never looks after it."""
    global stray
    stray = subprocess.Popen([sys.executable, "-c", "pass"])
    stray.returncode = 0  # keeps Python from reaping it by itself
    return {"helper": stray.pid}


def child(slot: Slot, message: Message, wakes: WorkerWakes) -> int:
    """Do what the message says."""
    return globals()[message["do"]](slot, message, wakes)  # type: ignore[no-any-return]


def leave(slot: Slot, message: Message, wakes: WorkerWakes) -> int:
    """Exit with the code wished for."""
    return int(message["code"])


def crash(slot: Slot, message: Message, wakes: WorkerWakes) -> int:
    """Let an exception escape."""
    raise RuntimeError("the worker's own code is wrong")


def exit_with_zero(slot: Slot, message: Message, wakes: WorkerWakes) -> int:
    """Let a handler's sys.exit escape."""
    sys.exit(0)


def die(slot: Slot, message: Message, wakes: WorkerWakes) -> int:
    """Be killed by a signal, its action being the default one."""
    os.kill(os.getpid(), message["signal"])
    signal.pause()
    return 0


def speak(slot: Slot, message: Message, wakes: WorkerWakes) -> int:
    """Print and leave it in the buffer."""
    print(message["text"], end="")
    return 0


def burn(slot: Slot, message: Message, wakes: WorkerWakes) -> int:
    """Use memory and CPU time."""
    ballast = bytearray(message["mb"] << 20)
    ballast[::4096] = b"x" * len(ballast[::4096])
    until = time.process_time() + message["cpu_s"]
    while time.process_time() < until:
        pass
    return 0


def write(slot: Slot, message: Message, wakes: WorkerWakes) -> int:
    """Write down what this process is and holds."""
    facts = {
        "booted_in": booted_in,
        "parent": os.getppid(),
        "group": os.getpgid(0),
        "random": random.random(),
        "oom": int(Path("/proc/self/oom_score_adj").read_text()),
        "descriptors": _descriptors(),
        "handlers": [int(s) for s in signal.Signals if callable(signal.getsignal(s))],
        "inheritable": [fd for fd in range(3, 100) if _is_open(fd) and os.get_inheritable(fd)],
        "blocked": [int(s) for s in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
        "wake": wakes.fileno(),
        "pid_on_board": slot.pid,
        "state": slot.state,
    }
    Path(message["path"]).write_text(f"{facts!r}\n")
    return 0


def _is_open(fd: int) -> bool:
    return os.path.exists(f"/proc/self/fd/{fd}")


def _descriptors() -> list[str]:
    """What is open beyond standard input, output and error (and the directory that is being listed)."""
    targets = []
    for fd in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(FileNotFoundError):  # the listing itself
            targets += [os.readlink(f"/proc/self/fd/{fd}").split(" (deleted)")[0]] if fd > 2 else []
    return sorted(targets)


def wait(slot: Slot, message: Message, wakes: WorkerWakes) -> int:
    """Idle until asked to stop, as a worker does; note signals."""
    signals = SignalQueue([signal.SIGTERM])
    slot.enter(WorkerState.IDLE)
    Title(f"worker {slot.index}").show("idle")
    wakes.wake_supervisor()
    while slot.stop == Stop.NONE:
        wakes.wait(None, [signals])
        if signals.take():
            return ExitCode.RECYCLED
    return ExitCode.OK


def stubborn(slot: Slot, message: Message, wakes: WorkerWakes) -> int:
    """Start a subprocess, ignore what can be ignored, and hang."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    helper = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    path = Path(message["path"])
    path.with_suffix(".new").write_text(f"{os.getpid()} {helper.pid}\n")
    path.with_suffix(".new").rename(path)
    if message.get("leave"):
        return 0
    ctypes.CDLL(None).sleep(1000)
    return 0


def run_jobs(slot: Slot, message: Message, wakes: WorkerWakes) -> int:
    """Run made-up jobs for ever: lease after lease, each journalled, each lease settled at its end."""
    journal = slot.take(message["worker_id"])
    job_id = 0
    while True:
        lease = slot.begin_lease(50, 10, "kind queue")
        for position in range(50):
            job_id += 1
            slot.begin_job(position, job_id, lease, monotonic_us())
            payload = None if job_id % 3 else b"[%d]" % (10 ** (job_id % 40))
            journal.append(Settlement(job_id, 3, job_id, job_id + 1, lease, position, -1, payload))
            slot.end_job()
        journal.reset()
