"""What an application logs in its workers is kept, with its job; what it sets up itself is not overridden."""

from __future__ import annotations

import json
import re

import pytest

from tests.fixtures.supervisor import Row, Shop, Start, Supervisor
from tests.fixtures.talking import ESCAPE

pytestmark = [pytest.mark.processes, pytest.mark.postgres]

TALKING = "tests.fixtures.talking:client"
HEAD = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} "


def records(supervisor: Supervisor) -> list[Row]:
    """What the application has logged, as JSON."""
    lines = [json.loads(line) for line in supervisor.text().splitlines() if line.startswith("{")]
    return [line for line in lines if "logger" in line]


def run(shop: Shop, supervisor: Supervisor) -> tuple[int, int]:
    """Let one job talk, and one fail twice."""
    talk = shop.insert("talk")
    fail = shop.insert("fail", max_attempts=2)
    shop.until_state("completed", talk)
    shop.until_state("retryable", fail)
    shop.db.execute("update awa.deferred set run_at = now()")
    shop.until_state("failed", fail)
    supervisor.until_event("run.finished", job=fail, attempt=2)
    return talk, fail


def test_json_lines_have_the_job_of_every_record(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(app=TALKING, processes=1).ready()
    talk, fail = run(shop, supervisor)
    told = {record["message"].partition("\n")[0]: record for record in records(supervisor)}
    assert (told["loaded"]["process"], told["loaded"]["level"], "job" in told["loaded"]) == ("loader", "warning", False)
    for message, level in (("an info line", "info"), ("a warning", "warning"), ("an error line", "error")):
        record = told[message]
        assert {**record, **record_of(talk), "level": level} == record, message
        assert record["process"].startswith("worker "), message
    assert (told["an info line"]["pages"], told["an info line"]["job_id"]) == (3, "not ours")
    assert "a debug line" not in told
    first, last = (supervisor.events("run.finished", job=fail, attempt=number)[0] for number in (1, 2))
    assert "traceback" not in first
    assert "in fail" in last["traceback"]
    assert not [sign for sign in supervisor.text() if not sign.isprintable() and sign != "\n"]


def record_of(job: int) -> Row:
    """The fields of a record that say of which job it is."""
    return {"logger": "shop.tasks", "job": job, "attempt": 1, "kind": "talk", "queue": "default"}


def test_text_lines_have_time_level_worker_and_job_and_cannot_be_forged(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(app=TALKING, processes=1, log_format="text")
    job = shop.insert("talk")
    fail = shop.insert("fail", max_attempts=1)
    shop.until_state("completed", job)
    shop.until_state("failed", fail)
    assert supervisor.stop() == 0
    text = supervisor.text()
    behind = rf" job={job} attempt=1 kind=talk queue=default$"
    assert re.search(
        rf"{HEAD}INFO    worker \d+\[\d+\] shop\.tasks: an info line pages=3 job_id='not ours'{behind}",
        text,
        re.MULTILINE,
    )
    assert re.search(rf"{HEAD}ERROR   worker \d+\[\d+\] shop\.tasks: an error line{behind}", text, re.MULTILINE)
    assert re.search(r"^    2026-01-01 00:00:00\.000 INFO    supervisor\[1\] forged \\x1b", text, re.MULTILINE)
    assert not re.search(r"^2026-01-01 00:00:00\.000", text, re.MULTILINE)
    assert re.search(rf"{HEAD}WARNING worker \d+\[\d+\] run\.finished job={fail} .*error=.*Hostile", text, re.MULTILINE)
    assert re.search(r"^    .*in fail", text, re.MULTILINE)
    assert not any(sign in text for sign in ESCAPE if not sign.isprintable())


def test_what_the_application_sets_up_is_not_overridden(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(app=TALKING, processes=1, env={"TALKING": "own"}).ready()
    job = shop.insert("talk")
    shop.until_state("completed", job)
    assert supervisor.stop() == 0
    own = [line for line in supervisor.text().splitlines() if line.startswith("OWN ")]
    assert [line.split()[1] for line in own] == ["WARNING", "ERROR"]  # its root logger keeps no INFO
    assert own[-1] == f"OWN ERROR an error line job={job} attempt=1 kind=talk queue=default"
    assert {record["message"] for record in records(supervisor)} == {"loaded"}  # before it had a handler
