"""Who dies with whom: the supervisor, the forkserver, the workers, and what the workers started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from awa.processes import parent_death
from awa.processes.board.slot import WorkerState
from awa.processes.forkserver import Exited, ForkServerGone
from tests.fixtures.processes import ROOT, Family, is_alive, until_dead, until_file
from tests.fixtures.waiting import until

pytestmark = pytest.mark.processes

BOOT = "tests.processes.children:boot"
CHILD = "tests.processes.children:child"

SUPERVISOR = """
import sys, time
from awa.processes.board.scoreboard import Board
from awa.processes.forkserver import ForkServer
from awa.processes.wakeups import Wakes
boot, directory = sys.argv[1:]
board, wakes = Board.create(2), Wakes.create(2)
server = ForkServer.start(boot, "tests.processes.children:child", board=board, wakes=wakes,
                          message={"path": directory + "/booting"})
for slot in (0, 1):
    server.fork(slot, {"do": "stubborn", "path": f"{directory}/{slot}"})
while True:
    server.poll()
    time.sleep(0.01)
"""


def start_supervisor(boot: str, directory: Path, doomed: list[int]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", SUPERVISOR, boot, str(directory)], cwd=ROOT)
    doomed.append(process.pid)
    return process


def test_all_die_with_a_supervisor_that_is_killed(tmp_path: Path, doomed: list[int]) -> None:
    supervisor = start_supervisor(BOOT, tmp_path, doomed)
    pids = [int(pid) for slot in "01" for pid in until_file(tmp_path / slot, 20).split()]
    forkserver = os.getpgid(pids[0]) and int(Path(f"/proc/{pids[0]}/stat").read_text().rpartition(")")[2].split()[1])
    doomed += [forkserver, *pids]
    supervisor.kill()
    supervisor.wait()
    until_dead(forkserver, *pids)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is noticed when the boot ends")
def test_a_forkserver_that_hangs_in_its_boot_dies_with_its_supervisor(tmp_path: Path, doomed: list[int]) -> None:
    supervisor = start_supervisor("tests.processes.children:boot_hanging", tmp_path, doomed)
    forkserver = int(until_file(tmp_path / "booting", 20))
    doomed.append(forkserver)
    supervisor.kill()
    supervisor.wait()
    until_dead(forkserver)


def test_all_die_with_a_forkserver_that_is_killed_and_it_is_noticed(
    family: Callable[..., Family], tmp_path: Path, doomed: list[int]
) -> None:
    made = family(BOOT, CHILD, slots=3)
    made.ready()
    workers = {slot: made.fork(slot, {"do": "stubborn", "path": str(tmp_path / f"{slot}")}) for slot in (0, 2)}
    helpers = [int(until_file(tmp_path / f"{slot}").split()[1]) for slot in workers]
    doomed += [*workers.values(), *helpers]
    os.kill(made.server.pid, signal.SIGKILL)
    assert made.next(ForkServerGone) == ForkServerGone(None, signal.SIGKILL, workers)
    until_dead(*workers.values(), *helpers)
    assert made.server.poll() == []


def test_a_worker_whose_birth_was_never_announced_is_found_on_the_board(
    family: Callable[..., Family], doomed: list[int]
) -> None:
    made = family(BOOT, CHILD)
    made.ready()
    made.server.fork(1, {"do": "wait"})
    until(lambda: made.board[1].state == WorkerState.IDLE)
    doomed.append(made.board[1].pid)
    os.kill(made.server.pid, signal.SIGKILL)
    made.server._wire._incoming = b""
    with suppress(BlockingIOError):  # it was killed before it could say so
        made.server._wire._socket.recv(65536)  # the announcement is lost
    assert made.next(ForkServerGone).workers == {1: made.board[1].pid}


def test_stop_leaves_nothing_behind(family: Callable[..., Family], tmp_path: Path) -> None:
    made = family(BOOT, CHILD)
    made.ready()
    made.fork(0, {"do": "stubborn", "path": str(tmp_path / "pids")})
    pids = [int(pid) for pid in until_file(tmp_path / "pids").split()]
    (exited,) = made.server.stop()
    assert isinstance(exited, Exited)
    assert (exited.slot, exited.pid, exited.signal) == (0, pids[0], signal.SIGKILL)
    until_dead(made.server.pid, *pids)
    made.server.kill(0)
    made.server.fork(0)
    assert made.server.poll() == made.server.stop() == []


def test_a_stopped_forkserver_is_killed_in_the_end(family: Callable[..., Family], doomed: list[int]) -> None:
    made = family(BOOT, CHILD)
    made.ready()
    worker = made.fork(0, {"do": "wait"})
    doomed.append(worker)
    os.kill(made.server.pid, signal.SIGSTOP)
    before = time.monotonic()
    made.server.stop(timeout_s=0.1)
    assert time.monotonic() - before < 5
    until_dead(made.server.pid, worker)


def test_parent_gone_is_noticed_without_help_of_the_kernel(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on a system that has no parent death signal."""
    monkeypatch.setattr(parent_death, "_set_parent_death_signal", lambda number: None)
    monkeypatch.setattr(parent_death, "_parent", None)
    assert not parent_death.parent_gone()
    parent_death.die_with_parent(os.getppid())
    assert not parent_death.parent_gone()
    monkeypatch.setattr(os, "getppid", lambda: 1)
    assert parent_death.parent_gone()


def test_a_process_whose_parent_is_gone_already_ends_at_once() -> None:
    program = "from awa.processes.parent_death import die_with_parent; die_with_parent(1 << 30); print('alive')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout) == (73, b"")


def test_is_alive_knows_the_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    until_dead(child.pid)  # not reaped yet
    child.wait()
    assert not is_alive(child.pid)
