"""The server process: seen through `postmaster.pid`, started, stopped, told from the traces of a killed one."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from awa.embedded import files, sockets
from awa.embedded.account import Account
from awa.embedded.binaries import Binaries
from awa.embedded.failures import explain, memory_still_in_use, tail
from awa.embedded.home import Home
from awa.embedded.programs import run
from awa.errors import EmbeddedError

START_SECONDS_MAX = 300  # after a crash the server first replays its log
STOP_SECONDS_MAX = 60
ORPHANS_SECONDS_MAX = 15
START_POLL_S = 0.01
NOTE = "postmaster.pid"
PID_DIGITS_MAX = 9  # Linux counts to 4,194,304 and macOS to 99,999
HAS_PROC = Path("/proc/self/cwd").exists()


@dataclass(frozen=True)
class RunningServer:
    """The server's own note in `postmaster.pid`."""

    pid: int
    port: int
    sockets: Path
    tcp: bool
    status: str


def read(data: Path) -> RunningServer | None:
    """The server's own note; None while it is missing or incomplete."""
    lines = _note(data).splitlines()
    pid = _pid(lines)
    if pid is None or len(lines) < 8 or not lines[3].isdecimal():
        return None
    return RunningServer(pid, int(lines[3]), Path(lines[4]), bool(lines[5].strip()), lines[7].strip())


def settled(home: Home) -> RunningServer | None:
    """The server which runs now, once it is ready; None when none runs. One that is stopping is waited for.

    Raises:
        EmbeddedError: it does not come to rest, or runs where its process cannot be seen.
    """
    deadline = time.monotonic() + START_SECONDS_MAX
    while pid := _live_pid(home.data):
        found = read(home.data)
        if found and found.status == "ready":
            return found
        if time.monotonic() > deadline:
            raise explain("Waiting for the running server", home.path, f"process {pid}\n{tail(home.log)}")
        time.sleep(START_POLL_S)
    found = read(home.data)
    if found and sockets.accepts(found.sockets, found.port):
        raise EmbeddedError(
            f"A server uses {home.data}, but its process ({found.pid}) cannot be seen from here: it may run in another "
            "container. Stop it there, or choose another directory."
        )
    return None


def launch(home: Home, binaries: Binaries, account: Account) -> RunningServer:
    """Start the server and wait until it is ready. The caller has made sure that none runs.

    Raises:
        EmbeddedError: it does not start; the text says why.
    """
    _clear_traces(home, account)
    # A directory given as an argument would go through a shell, which reads quotes and dollar signs in it.
    command = [binaries.program("pg_ctl"), "start", "--silent", "--wait", "--timeout", str(START_SECONDS_MAX)]
    deadline = time.monotonic() + ORPHANS_SECONDS_MAX
    while True:
        status, said = run(command, account, home.log, PGDATA=str(home.data))
        found = read(home.data)
        if status == 0 and found:
            return found
        if found := settled(home):  # begun by a process that was killed before it saw the end of it
            return found
        if not memory_still_in_use(said) or time.monotonic() > deadline:
            raise explain("Starting the server", home.path, said)
        time.sleep(START_POLL_S)


def stop(home: Home, running: RunningServer) -> None:
    """Stop the server: connections are ended, everything committed is on the disk.

    Raises:
        EmbeddedError: it has not ended in time, not even at once and without care.
    """
    for request in (signal.SIGINT, signal.SIGQUIT):  # PostgreSQL's "fast" and "immediate"
        if _live_pid(home.data) != running.pid:
            break
        os.kill(running.pid, request)
        deadline = time.monotonic() + STOP_SECONDS_MAX
        while _live_pid(home.data) == running.pid and time.monotonic() < deadline:
            time.sleep(START_POLL_S)
    if _live_pid(home.data) == running.pid:
        raise explain("Stopping the server", home.path, f"process {running.pid} does not end\n{tail(home.log)}")
    sockets.discard(running.sockets, home)


def is_alive(home: Home, running: RunningServer) -> bool:
    """Return whether this very server still runs."""
    return _live_pid(home.data) == running.pid


def _clear_traces(home: Home, account: Account) -> None:
    """Remove the note and the sockets of a killed server where PostgreSQL would not.

    It does so itself, unless the process number is in use: by a stranger, or by the dead server, as long as no process
    has asked for its exit status (in a container without an init process that is for ever). Nor does it like half a
    note.
    """
    if not (home.data / NOTE).exists():
        return
    if pid := _pid(_note(home.data).splitlines()):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return  # what PostgreSQL handles by itself
        except PermissionError:
            pass  # a stranger's process
    if _live_pid(home.data) is None:
        files.remove_owned(home.data, account.uid, NOTE)
        sockets.clear(home, account)


def _live_pid(data: Path) -> int | None:
    """The process of the server of this data directory, or None: a number alone may long belong to another process."""
    pid = _pid(_note(data).splitlines())
    return pid if pid and (_works_in(pid, data) if HAS_PROC else _is_postgres(pid)) else None


def _note(data: Path) -> str:
    """Return the server's note; None without one."""
    try:
        return files.read(data / NOTE)
    except FileNotFoundError:
        return ""


def _pid(lines: list[str]) -> int | None:
    """The number of the process in a note, or None: half a note, or a number that no process can have."""
    first = lines[0].strip() if lines else ""
    return int(first) if first.isdecimal() and len(first) <= PID_DIGITS_MAX and int(first) > 1 else None


def _works_in(pid: int, data: Path) -> bool:
    """Return whether a process of the directory's owner works in it, as the server does from its first moment."""
    try:
        is_owner = os.stat(f"/proc/{pid}").st_uid == data.stat().st_uid
        return is_owner and os.readlink(f"/proc/{pid}/cwd") == os.path.realpath(data)
    except OSError:
        return False  # no such process, a zombie, or not readable: not our server


def _is_postgres(pid: int) -> bool:
    """Return whether a process is a PostgreSQL and no zombie, on systems without /proc."""
    command = ["ps", "-o", "stat=,command=", "-p", str(pid)]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return "postgres" in told and not told.lstrip().startswith("Z")
