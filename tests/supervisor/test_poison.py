"""Jobs that kill their workers: they fail in the end, they are named, and they block nobody."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.fixtures.processes import until_dead
from tests.fixtures.supervisor import Shop, Start
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.processes, pytest.mark.postgres]


def deaths(shop: Shop) -> list[tuple[Any, ...]]:
    return shop.rows("select kind, last_10_minutes, last_hour, last_day, last_week from awa.deaths order by kind")


def test_among_two_hundred_others(shop: Shop, supervise: Start) -> None:
    """One worker. The others are done long before the poison has used up its attempts."""
    args = [("note", {})] * 100 + [("die", {})] + [("note", {})] * 100
    jobs = shop.insert_many(args, max_attempts=3)
    poison, others = jobs[100], jobs[:100] + jobs[101:]
    supervisor = supervise(processes=1)
    shop.until_state("completed", *others, timeout=60)
    shop.until_state("failed", poison, timeout=60)
    errors = shop.job(poison)["errors"]
    assert [(error["attempt"], error["error"], error["signal"]) for error in errors] == [
        (attempt, "worker killed by SIGKILL", signal.SIGKILL) for attempt in (1, 2, 3)
    ]
    assert [attempt["outcome"] for attempt in shop.attempts(poison)] == ["retryable", "retryable", "failed"]
    assert shop.rows("select count(*) from awa.attempts") == [203]
    assert {shop.job(job)["attempt"] for job in others[::20]} == {1}
    ((last, end),) = shop.rows(
        "select max(finished_at) filter (where outcome = 'completed'), "
        "max(finished_at) filter (where outcome = 'failed') from awa.attempts"
    )
    assert last < end
    assert len(supervisor.events("worker.exited")) == 3
    assert deaths(shop) == [("die", 3, 3, 3, 3)]
    assert supervisor.until_event("rescue.crash_loop")["kind"] == "die"


def test_a_kind_that_keeps_killing_is_named_and_other_kinds_are_served(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=2)
    crash_report = shop.insert_many([("die", {})] * 10, max_attempts=2)
    others = shop.insert_many([("note", {})] * 50)
    shop.until_state("completed", *others, timeout=60)
    shop.until_state("failed", *crash_report, timeout=60)
    said = [(event["kind"], event["deaths"], event["level"]) for event in supervisor.events("rescue.crash_loop")]
    assert said == [("die", deaths, "error") for deaths in (3, 6, 12)]
    assert deaths(shop) == [("die", 20, 20, 20, 20)]
    until(lambda: len(supervisor.workers()) == 2, 30)
    assert len(supervisor.events("worker.started")) == 22  # as many as have died, and the two that live
    supervisor.stop()
    again = supervise(processes=1)
    late = shop.insert("die", max_attempts=1)
    shop.until_state("failed", late, timeout=60)
    assert again.until_event("rescue.crash_loop")["deaths"] == 21


def test_it_becomes_a_dead_letter_where_the_queue_keeps_them(shop: Shop, supervise: Start) -> None:
    shop.db.execute("insert into awa.queue (name, dlq) values ('default', true)")
    supervise(processes=1)
    job = shop.insert("die", max_attempts=2)
    shop.until_state("failed", job, timeout=60)
    assert shop.rows("select job_id, reason from awa.dlq") == [(job, "worker killed by SIGKILL")]
    assert [error["attempt"] for error in shop.job(job)["errors"]] == [1, 2]


def test_a_job_that_a_shutdown_has_killed_is_not_to_blame(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=1, drain_timeout_s=0)
    job = shop.insert("step", {"gate": "never"})
    shop.until_effect("waiting", job, timeout=60)
    supervisor.stop()
    assert shop.attempts(job)[0]["outcome"] == "retryable"
    assert deaths(shop) == []


def test_nor_is_one_whose_forkserver_has_died(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=1).ready()
    job = shop.insert("step", {"gate": "gate"})
    shop.until_effect("waiting", job, timeout=60)
    (worker,) = supervisor.workers()
    supervisor.forkserver().kill()
    until_dead(worker)
    shop.open("gate")
    shop.until_state("completed", job, timeout=60)
    assert deaths(shop) == []
    (first, _) = shop.attempts(job)
    assert (first["outcome"], first["cpu_s"], first["peak_kb"]) == ("retryable", None, None)
