"""HUP: new code beside the old, one worker after the other; and what happens when there is no new code to be had."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from signal import Signals

import pytest

from tests.fixtures.processes import is_alive, until_dead
from tests.fixtures.supervisor import Shop, Start
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.processes, pytest.mark.postgres]

VERSION = """
from tests.fixtures.shop import Shop, effect, wait_at
client = Shop()
def version(job):
    if "gate" in job.args:
        effect(job, "waiting")
        wait_at(job.args["gate"])
    effect(job, {number!r})
    return {number!r}
def {extra}(job):
    return "new"
client.registry.add(version, None, "version", "default")
client.registry.add({extra}, None, {extra!r}, {queue!r})
"""


def write(directory: Path, number: str, extra: str = "extra", queue: str = "default") -> None:
    """Write the application as it is in some version."""
    (directory / "app.py").write_text(VERSION.format(number=number, extra=extra, queue=queue), encoding="utf-8")


def test_new_code_takes_over_and_no_job_is_lost_or_run_twice(shop: Shop, supervise: Start, tmp_path: Path) -> None:
    write(tmp_path, "one")
    supervisor = supervise(app="app:client").ready()
    held = shop.insert("version", {"gate": "gate"})
    shop.until_effect("waiting", held)
    old = supervisor.workers()
    forkserver = supervisor.forkserver()
    write(tmp_path, "two")
    supervisor.send(Signals.SIGHUP)
    jobs = []
    while "two" not in shop.rows("select distinct what from effects"):
        jobs += shop.insert_many([("version", {})] * 5)
        shop.until_state("completed", *jobs)  # somebody works all the time
    assert shop.states(held) == ["running"]  # and its worker may finish it
    until(lambda: len(supervisor.workers()) == 3)  # two new ones, and the old one that is held up
    shop.open("gate")
    shop.until_state("completed", held)
    assert shop.job(held)["result"] == "one"
    until(lambda: not set(old) & set(supervisor.workers()))
    until_dead(forkserver.pid, *old)
    assert len(supervisor.workers()) == 2
    assert {shop.job(job)["attempt"] for job in [held, *jobs]} == {1}
    assert all(len(shop.effects(job)) == 1 for job in jobs)
    exits = supervisor.events("worker.exited")
    assert [(line["how"], line["level"]) for line in exits] == [("ok", "info")] * 2


def test_asked_twice_the_newest_code_is_what_runs(shop: Shop, supervise: Start, tmp_path: Path) -> None:
    write(tmp_path, "one")
    supervisor = supervise(app="app:client").ready()
    write(tmp_path, "two")
    supervisor.send(Signals.SIGHUP)
    supervisor.until_event("supervisor.signal", 1)
    write(tmp_path, "three")  # perhaps too late for the forkserver that loads already
    supervisor.send(Signals.SIGHUP)
    supervisor.until_event("supervisor.signal", 2)
    supervisor.until_event("supervisor.reloaded", 2)
    until(lambda: len(supervisor.events("worker.exited")) >= 2 and len(supervisor.workers()) == 2)
    until(lambda: len([p for p in supervisor.process.children() if p.is_running()]) == 1)
    job = shop.insert("version")
    shop.until_state("completed", job)
    assert shop.job(job)["result"] == "three"


def test_broken_code_leaves_the_old_running_and_is_reported(shop: Shop, supervise: Start, tmp_path: Path) -> None:
    write(tmp_path, "one")
    supervisor = supervise(app="app:client").ready()
    old = supervisor.workers()
    (tmp_path / "app.py").write_text("import nothing_of_that_name\n", encoding="utf-8")
    supervisor.send(Signals.SIGHUP)
    failed = supervisor.until_event("supervisor.reload_failed")
    assert "nothing_of_that_name" in failed["error"]
    assert "app.py" in failed["traceback"]
    assert failed["goes_on"] == "the old version, until another HUP"
    job = shop.insert("version")
    shop.until_state("completed", job)
    assert shop.job(job)["result"] == "one"
    assert supervisor.workers() == old
    write(tmp_path, "two")
    supervisor.send(Signals.SIGHUP)
    supervisor.until_event("supervisor.reloaded")
    assert len(supervisor.events("supervisor.reload_failed")) == 1


@pytest.mark.parametrize(("end", "how"), [("os._exit(5)", "exit code 5"), ("os.kill(os.getpid(), 11)", "signal 11")])
def test_code_that_ends_its_process_is_reported_too(
    shop: Shop, supervise: Start, tmp_path: Path, end: str, how: str
) -> None:
    """Nothing is left of it that could raise an exception."""
    write(tmp_path, "one")
    supervisor = supervise(app="app:client").ready()
    old = supervisor.workers()
    (tmp_path / "app.py").write_text(f"import os\n{end}\n", encoding="utf-8")
    supervisor.send(Signals.SIGHUP)
    failed = supervisor.until_event("supervisor.reload_failed")
    assert failed["error"] == f"the application ended the process that loaded it ({how})"
    assert failed["goes_on"] == "the old version, until another HUP"
    assert supervisor.workers() == old


def test_other_kinds_and_queues_are_made_known(shop: Shop, supervise: Start, tmp_path: Path) -> None:
    write(tmp_path, "one")
    supervisor = supervise(app="app:client").ready()
    job = shop.insert("invoice", queue="paper")
    assert shop.rows("select kinds, queues from awa.node") == [(["extra", "version"], ["default"])]
    write(tmp_path, "two", extra="invoice", queue="paper")
    supervisor.send(Signals.SIGHUP)
    shop.until_state("completed", job)
    assert shop.rows("select kinds, queues from awa.node") == [(["invoice", "version"], ["default", "paper"])]


def test_another_database_is_warned_of(shop: Shop, supervise: Start, tmp_path: Path) -> None:
    write(tmp_path, "one")
    supervisor = supervise(app="app:client").ready()
    write(tmp_path, "two")
    with (tmp_path / "app.py").open("a") as app:
        app.write("client.dsn = 'host=/elsewhere'\n")
    supervisor.send(Signals.SIGHUP)
    assert "another database" in supervisor.until_event("supervisor.warning")["warning"]
    job = shop.insert("version")
    shop.until_state("completed", job)


def test_told_to_stop_while_reloading(shop: Shop, supervise: Start, tmp_path: Path) -> None:
    write(tmp_path, "one")
    supervisor = supervise(app="app:client").ready()
    (tmp_path / "app.py").write_text(
        "import pathlib, time\npathlib.Path('loading').touch()\ntime.sleep(60)\n", encoding="utf-8"
    )
    supervisor.send(Signals.SIGHUP)
    until((tmp_path / "loading").exists)
    family = [process.pid for process in supervisor.family()]
    assert supervisor.stop(timeout=3) == 0
    assert not any(map(is_alive, family))


def test_lost_forkserver(shop: Shop, supervise: Start) -> None:
    """Its workers die with it; another one is started, and their jobs go on."""
    supervisor = supervise().ready()
    held = shop.insert("step", {"gate": "gate"})
    shop.until_effect("waiting", held)
    old = supervisor.workers()
    supervisor.forkserver().kill()
    until_dead(*old)
    shop.open("gate")
    shop.until_state("completed", held)
    until(lambda: len(supervisor.workers()) == 2)
    assert [attempt["outcome"] for attempt in shop.attempts(held)] == ["retryable", "completed"]
    assert supervisor.until_event("supervisor.service_failed")["error"] == "ended with signal 9"
    assert supervisor.stop() == 0


def test_lost_forkserver_and_no_code_to_load(shop: Shop, supervise: Start, tmp_path: Path) -> None:
    write(tmp_path, "one")
    supervisor = supervise(app="app:client").ready()
    (tmp_path / "app.py").write_text("1 / 0\n", encoding="utf-8")
    supervisor.forkserver().kill()
    failed = supervisor.until_event("supervisor.reload_failed", 2)  # it keeps trying
    assert failed["goes_on"] == "nothing: it is tried again"
    assert supervisor.workers() == []
    write(tmp_path, "two")
    job = shop.insert("version")
    shop.until_state("completed", job)
    assert shop.job(job)["result"] == "two"


def test_lost_forkserver_while_draining(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=1).ready()
    job = shop.insert("step", {"gate": "never"})
    shop.until_effect("waiting", job)
    supervisor.send(signal.SIGTERM)
    supervisor.until_event("supervisor.draining")
    os.kill(supervisor.forkserver().pid, signal.SIGKILL)
    assert supervisor.wait() == 0
    assert shop.states(job) == ["available"]
