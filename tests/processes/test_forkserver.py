"""A real forkserver with real workers: boot, fork, exit, kill."""

from __future__ import annotations

import ast
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from awa.processes.board.slot import Stop, WorkerState
from awa.processes.exit_codes import ExitCode
from awa.processes.forkserver import BootFailed, Exited, Forked, ForkServerGone
from tests.fixtures.processes import Family, is_alive, until_dead, until_file
from tests.fixtures.waiting import until

pytestmark = pytest.mark.processes

BOOT = "tests.processes.children:boot"
CHILD = "tests.processes.children:child"

Make = Callable[..., Family]


def start(family: Make, **options: Any) -> Family:
    """Start a forkserver whose application has been loaded."""
    made = family(BOOT, CHILD, **options)
    made.ready()
    return made


# Boot


def test_ready_brings_what_the_application_said(family: Make) -> None:
    made = family(BOOT, CHILD, message={"greeting": "kia ora"})
    ready = made.ready()
    assert ready.info["greeting"] == "kia ora"
    assert ready.info["pid"] == made.server.pid
    assert ready.warnings == []


def test_a_terminal_signal_does_not_reach_the_forkserver(family: Make) -> None:
    made = family(BOOT, CHILD)
    assert made.ready().info["group"] == made.server.pid != os.getpgid(0)


@pytest.mark.parametrize(
    ("boot", "error"),
    [
        ("tests.processes.children:boot_failing", "LookupError: no such app: shop:client"),
        ("tests.processes.children:boot_exiting", "SystemExit: please set SECRET_KEY"),
        ("tests.processes.children:boot_unwritable", "TypeError: Object of type object is not JSON serializable"),
        ("tests.processes.nowhere:boot", "ModuleNotFoundError: No module named 'tests.processes.nowhere'"),
    ],
)
def test_a_failing_boot_is_reported_once_and_ends_the_forkserver(family: Make, boot: str, error: str) -> None:
    made = family(boot, CHILD, message={"app": "shop:client"})
    failed = made.next(BootFailed)
    assert failed.error == error
    assert failed.traceback.startswith("Traceback (most recent call last):\n")
    assert failed.traceback.endswith(f"{error}\n")
    assert "forkserver/__main__.py" not in failed.traceback or "_resolve" in failed.traceback
    assert made.next(ForkServerGone) == ForkServerGone(ExitCode.BOOT_FAILED, None, {})
    assert made.server.poll() == []


def test_a_crash_while_loading_is_seen(family: Make) -> None:
    made = family("tests.processes.children:boot_segfaulting", CHILD)
    assert made.next(ForkServerGone) == ForkServerGone(None, signal.SIGSEGV, {})


def test_a_forkserver_that_never_finishes_loading_can_be_stopped(family: Make, tmp_path: Path) -> None:
    made = family("tests.processes.children:boot_hanging", CHILD, message={"path": str(tmp_path / "pid")})
    until_file(tmp_path / "pid")
    made.server.stop(timeout_s=0.05)
    assert not is_alive(made.server.pid)


def test_the_end_is_noticed_although_the_socket_is_held_open(family: Make, doomed: list[int]) -> None:
    made = family("tests.processes.children:boot_forking", CHILD)
    doomed.append(made.ready().info["helper"])
    os.kill(made.server.pid, signal.SIGKILL)
    assert made.next(ForkServerGone) == ForkServerGone(None, signal.SIGKILL, {})


def test_threads_started_at_import_are_named(family: Make) -> None:
    (warning,) = family("tests.processes.children:boot_threaded", CHILD).ready().warnings
    assert "starts threads when it is imported (metrics)" in warning


# Fork and exit


def test_a_worker_is_a_copy_with_a_life_of_its_own(family: Make, tmp_path: Path) -> None:
    made = start(family)
    facts = []
    for slot in (0, 1):
        path = tmp_path / f"{slot}"
        assert made.exit_of(slot, {"do": "write", "path": str(path)}).code == 0
        facts.append(ast.literal_eval(path.read_text()))
    for each in facts:
        assert each["booted_in"] == each["parent"] == made.server.pid
        assert each["group"] == each["pid_on_board"]
        assert each["state"] == WorkerState.BOOTING
        assert each["oom"] >= int(Path("/proc/self/oom_score_adj").read_text()) + 1
        assert each["blocked"] == []
        assert each["handlers"] == []
    assert facts[0]["random"] != facts[1]["random"]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_holds_its_own_descriptors_and_no_others(family: Make, tmp_path: Path) -> None:
    made = start(family, slots=5)
    made.exit_of(3, {"do": "write", "path": str(tmp_path / "facts")})
    facts = ast.literal_eval((tmp_path / "facts").read_text())
    # In place of what the mappings of the board would hold; this worker's wake-ups and the supervisor's, the pipe for
    # its stack.
    assert [each.partition(":[")[0] if each.startswith("pipe") else each for each in facts["descriptors"]] == [
        "/dev/null",
        "/dev/null",
        "/dev/null",
        "pipe",
        "pipe",
        "pipe",
        "pipe",
    ]
    assert facts["inheritable"] == []


@pytest.mark.parametrize(
    ("message", "code", "number"),
    [
        ({"do": "leave", "code": 0}, 0, None),
        ({"do": "leave", "code": ExitCode.FENCED}, ExitCode.FENCED, None),
        ({"do": "crash"}, ExitCode.CRASHED, None),
        ({"do": "exit_with_zero"}, ExitCode.CRASHED, None),
        ({"do": "die", "signal": signal.SIGKILL}, None, signal.SIGKILL),
        ({"do": "die", "signal": signal.SIGSEGV}, None, signal.SIGSEGV),
        ({"do": "die", "signal": signal.SIGTERM}, None, signal.SIGTERM),
    ],
)
def test_how_a_worker_ended_is_reported(family: Make, message: dict[str, Any], code: int | None, number: int) -> None:
    exited = start(family).exit_of(1, message)
    assert (exited.code, exited.signal) == (code, number)


def test_memory_and_cpu_time_of_a_worker_are_reported(family: Make) -> None:
    exited = start(family).exit_of(0, {"do": "burn", "mb": 60, "cpu_s": 0.2})
    assert exited.max_rss_kb > 60_000
    assert exited.user_s + exited.system_s >= 0.2


def test_a_crash_leaves_its_traceback_on_stderr(family: Make, capfd: pytest.CaptureFixture[str]) -> None:
    start(family).exit_of(0, {"do": "crash"})
    assert "RuntimeError: the worker's own code is wrong" in capfd.readouterr().err


def test_output_is_written_once_and_wholly(family: Make, capfd: pytest.CaptureFixture[str]) -> None:
    made = family("tests.processes.children:boot_printing", CHILD)
    made.ready()
    for slot, text in enumerate(["one.", "two."]):
        made.exit_of(slot, {"do": "speak", "text": text})
    made.server.stop()
    assert capfd.readouterr().out == "loaded one.two."


def test_many_workers_come_and_go(family: Make) -> None:
    made = start(family, slots=8)
    for _ in range(5):
        for slot in range(8):
            made.server.fork(slot, {"do": "leave", "code": slot})
        exits = [made.next(Exited) for _ in range(8)]
        assert sorted((each.slot, each.code) for each in exits) == [(slot, slot) for slot in range(8)]
    assert made.server.workers == {}
    assert len([event for event in made.events if isinstance(event, Forked)]) == 40


def test_a_slot_that_is_taken_is_not_wiped_under_its_worker(family: Make) -> None:
    made = start(family)
    made.server.fork(0, {"do": "wait"})
    with pytest.raises(ValueError, match=r"slot 0 is taken by a worker \(about to start\)"):
        made.server.fork(0)
    pid = made.next(Forked).pid
    with pytest.raises(ValueError, match=rf"slot 0 is taken by a worker \({pid}\)"):
        made.server.fork(0)


def test_the_next_worker_finds_a_clean_slot(family: Make) -> None:
    made = start(family)
    made.board[0].stop = Stop.AFTER_JOB  # meant for the last one
    made.fork(0, {"do": "wait"})
    until(lambda: made.board[0].state == WorkerState.IDLE)
    assert made.board[0].stop == Stop.NONE


def test_a_worker_stops_when_asked_over_board_and_wake(family: Make) -> None:
    made = start(family)
    pid = made.fork(1, {"do": "wait"})
    assert made.wakes.supervisor.wait(10)
    assert made.board[1].state == WorkerState.IDLE
    assert psutil.Process(pid).cmdline()[0] == "awa: worker 1 idle"
    assert psutil.Process(made.server.pid).cmdline()[0] == "awa: forkserver"
    made.board[1].stop = Stop.AFTER_JOB
    made.wakes.wake(1)
    assert made.next(Exited).code == ExitCode.OK


def test_children_of_the_import_are_reaped(family: Make) -> None:
    made = family("tests.processes.children:boot_with_helper", CHILD)
    helper = made.ready().info["helper"]
    until(lambda: not Path(f"/proc/{helper}").exists())
    assert made.exit_of(0, {"do": "leave", "code": 5}).code == 5


# Kill


def test_a_signal_can_be_sent_to_one_worker(family: Make) -> None:
    made = start(family)
    for slot in (0, 1):
        made.fork(slot, {"do": "wait"})
        until(lambda slot=slot: made.board[slot].state == WorkerState.IDLE)  # type: ignore[misc]
    made.server.kill(1, signal.SIGTERM, group=False)
    exited = made.next(Exited)
    assert (exited.slot, exited.code) == (1, ExitCode.RECYCLED)
    assert made.server.workers.keys() == {0}


def test_killing_a_worker_takes_what_it_started(family: Make, tmp_path: Path) -> None:
    made = start(family)
    made.fork(0, {"do": "stubborn", "path": str(tmp_path / "pids")})
    pids = [int(pid) for pid in until_file(tmp_path / "pids").split()]
    made.server.kill(0)
    assert made.next(Exited).signal == signal.SIGKILL
    until_dead(*pids)


@pytest.mark.parametrize("boot", ["boot", "boot_without_waitid"])
@pytest.mark.parametrize("how", ["leaves", "is killed alone"])
def test_what_a_worker_started_does_not_outlive_it(family: Make, tmp_path: Path, how: str, boot: str) -> None:
    made = family(f"tests.processes.children:{boot}", CHILD)
    made.ready()
    pid = made.fork(0, {"do": "stubborn", "path": str(tmp_path / "pids"), "leave": how == "leaves"})
    helper = int(until_file(tmp_path / "pids").split()[1])
    if how == "is killed alone":
        os.kill(pid, signal.SIGKILL)
    exited = made.next(Exited)
    assert exited.pid == pid
    until_dead(helper)


def test_a_kill_that_comes_too_late_hits_nobody(family: Make) -> None:
    made = start(family)
    made.exit_of(0, {"do": "leave", "code": 0})
    made.server.kill(0)
    made.server.kill(1)
    assert made.exit_of(1, {"do": "leave", "code": 7}).code == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT])
def test_the_forkserver_leaves_signals_to_the_supervisor(family: Make, number: signal.Signals) -> None:
    made = start(family)
    os.kill(made.server.pid, number)
    assert made.exit_of(0, {"do": "leave", "code": 7}).code == 7
