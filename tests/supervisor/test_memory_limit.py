"""A job that wants more memory than its task allows harms nobody but itself."""

from __future__ import annotations

import pytest

from awa.processes.memory import can_cap
from tests.fixtures.supervisor import Shop, Start

pytestmark = [
    pytest.mark.processes,
    pytest.mark.postgres,
    pytest.mark.skipif(not can_cap(), reason="this system does not limit the memory of a process"),
]


def test_too_much_is_the_outcome_of_that_job_alone(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=1)
    greedy, modest = shop.insert("hog", {"mb": 300}, max_attempts=1), shop.insert("hog", {"mb": 30})
    free = shop.insert("leak", {"mb": 300})
    shop.until_state("failed", greedy, timeout=60)
    shop.until_state("completed", modest, free, timeout=60)
    (error,) = shop.job(greedy)["errors"]
    assert error["type"] == "MemoryError"
    assert error["error"].startswith(
        "MemoryError: the job needs more than the 100 MiB that memory_limit_mb of its task"
    )
    assert "in hog" in error["error"]
    assert len(shop.rows("select distinct pid from effects")) == 1
    assert not supervisor.events("worker.exited")


def test_a_library_that_aborts_takes_only_its_worker_along(shop: Shop, supervise: Start) -> None:
    supervise(processes=1)
    fatal = shop.insert("hog", {"mb": 300, "abort": True}, max_attempts=2)
    others = shop.insert_many([("note", {})] * 5)
    shop.until_state("failed", fatal, timeout=60)
    shop.until_state("completed", *others, timeout=60)
    assert [error["error"] for error in shop.job(fatal)["errors"]] == ["worker killed by SIGABRT"] * 2
