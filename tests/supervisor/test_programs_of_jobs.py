"""Programs that jobs start: how they are born, and who reaps them."""

from __future__ import annotations

import os
import signal
from typing import Final

import psutil
import pytest

from tests.fixtures.processes import until_dead
from tests.fixtures.supervisor import Shop, Start
from tests.fixtures.waiting import until

pytestmark = [
    pytest.mark.processes,
    pytest.mark.postgres,
    pytest.mark.skipif("sys.platform != 'linux'", reason="only Linux has subreapers and /proc"),
]

APP: Final = "tests.fixtures.parents:client"


def daemon(shop: Shop) -> int:
    job = shop.insert("daemon")
    shop.until_state("completed", job)
    return int(shop.job(job)["result"])


def test_they_do_not_ignore_ctrl_c(shop: Shop, supervise: Start) -> None:
    supervise(app=APP, processes=1)
    job = shop.insert("ignored")
    shop.until_state("completed", job)
    mask = int(shop.job(job)["result"], 16)
    numbers = (signal.SIGINT, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR1, signal.SIGPIPE)
    assert [number for number in numbers if mask >> (number - 1) & 1] == []


def test_those_whose_parents_have_ended_are_buried(shop: Shop, supervise: Start, doomed: list[int]) -> None:
    supervisor = supervise(app=APP, processes=1).ready()
    pid = daemon(shop)
    doomed.append(pid)
    assert psutil.Process(pid).ppid() == supervisor.forkserver().pid
    os.kill(pid, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(pid))
    assert supervisor.stop() == 0


def test_those_that_left_their_group_end_with_the_supervisor(shop: Shop, supervise: Start, doomed: list[int]) -> None:
    supervisor = supervise(app=APP, processes=1).ready()
    pids = [daemon(shop), daemon(shop)]
    doomed += pids
    assert supervisor.stop() == 0
    until_dead(*pids)


def test_they_end_also_when_the_supervisor_is_killed(shop: Shop, supervise: Start, doomed: list[int]) -> None:
    supervisor = supervise(app=APP, processes=1).ready()
    pid = daemon(shop)
    doomed.append(pid)
    supervisor.send(signal.SIGKILL)
    until_dead(pid)


def test_who_drains_says_which_jobs_run(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(app=APP, processes=1).ready()
    job = shop.insert("step", {"gate": "gate"})
    shop.until_effect("waiting", job)
    supervisor.send(signal.SIGINT)
    said = supervisor.until_event("supervisor.draining")
    assert str(job) in said["jobs"]
    assert "step" in said["jobs"]
    assert said["at_most_s"] == 25
    assert "INT" in said["hint"]
    shop.open("gate")
    assert supervisor.wait() == 0
