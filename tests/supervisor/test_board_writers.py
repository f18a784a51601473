"""Handlers that write to the board: the supervisor lives, ends the worker and says why, and nobody else notices."""

from __future__ import annotations

from typing import Any, Final

import pytest

from awa.processes.board.scoreboard import JOURNAL_BYTES
from awa.processes.board.slot import (
    ATTEMPT,
    DEADLINE,
    ENDED,
    JOB_ID,
    JOURNAL,
    LEASE,
    PID,
    POSITION,
    STATE,
    TURN,
    WORKER_ID,
)
from tests.fixtures.supervisor import Shop, Start, Supervisor
from tests.fixtures.waiting import until

pytestmark = [
    pytest.mark.processes,
    pytest.mark.postgres,
    pytest.mark.skipif("sys.platform != 'linux'", reason="finds the board in /proc/self/maps"),
]

APP: Final = "tests.fixtures.scribbler:client"
MANY: Final = 2**63 - 1
UNUSED: Final = ENDED + 1
WAYS: Final[dict[str, list[tuple[int, int]]]] = {
    **{f"cell {index} below zero": [(index, -1)] for index in range(ENDED + 1)},
    "process 1": [(PID, 1)],
    "worker of another id": [(WORKER_ID, 1_000_000)],
    "vacant": [(STATE, 0)],
    "a word that overflows": [(LEASE, MANY)],
    "a turn that overflows": [(TURN, MANY)],
    "a position that overflows": [(POSITION, 1 << 40)],
    "an attempt that fits no column": [(ATTEMPT, 1 << 20)],
    "a deadline in the far future": [(DEADLINE, MANY)],
    "a journal longer than it is": [(JOURNAL, (1 << 24) + JOURNAL_BYTES + 1)],
    "a cell that has no meaning": [(UNUSED, 1)],
    "another job": [(JOB_ID, 999_999_999)],
    "no job": [(JOB_ID, 0)],
}


def start(supervise: Start, **settings: Any) -> Supervisor:
    return supervise(app=APP, **{"processes": 2, "stuck_after_ms": 100, **settings}).ready()


def test_whoever_writes_nonsense_is_ended_and_named(shop: Shop, supervise: Start) -> None:
    supervisor = start(supervise, processes=3)
    jobs = {
        shop.insert("scribble", {"cells": cells, "then": "stay"}, max_attempts=1): way for way, cells in WAYS.items()
    }
    others = shop.insert_many([("nap", {"ms": 20})] * 100)
    shop.until_state("failed", *jobs, timeout=60)
    shop.until_state("completed", *others, timeout=30)
    errors = {jobs[job]: shop.job(job)["errors"] for job in jobs}
    assert {way: (entries[0]["type"], len(entries)) for way, entries in errors.items()} == dict.fromkeys(
        WAYS, ("BoardDamaged", 1)
    )
    assert len(supervisor.events("worker.damaged")) == len(WAYS)
    assert all(line["cell"] in line["why"] and line["pid"] for line in supervisor.events("worker.damaged"))
    assert all(shop.effects(job) == ["ran"] for job in [*jobs, *others])
    assert supervisor.process.poll() is None
    assert supervisor.stop() == 0
    assert shop.rows("select id from awa.batch") == []


@pytest.mark.parametrize(
    "args",
    [
        {"zero": True},
        {"cells": [(JOB_ID, 999_999_999)]},
        {"cells": [(JOB_ID, 0)]},
        {"cells": [(WORKER_ID, 0)]},
        {"cells": [(PID, 1)]},
        {"journal": True},
    ],
    ids=["zeros", "another job", "no job", "no worker", "process 1", "journal"],
)
def test_attempts_are_spent_whatever_is_on_the_board_at_the_end(
    shop: Shop, supervise: Start, args: dict[str, Any]
) -> None:
    supervisor = start(supervise, processes=1)
    job = shop.insert("scribble", {**args, "then": "exit"}, max_attempts=3)
    behind = shop.insert_many([("note", {})] * 5)
    shop.until_state("failed", job)
    shop.until_state("completed", *behind)
    assert [row["attempt"] for row in shop.attempts(job)] == [1, 2, 3]
    assert shop.effects(job) == ["ran"] * 3
    assert supervisor.process.poll() is None


def test_the_results_of_others_cannot_be_forged(shop: Shop, supervise: Start) -> None:
    """A slot under another worker's number would have its journal settled for that one."""
    supervisor = start(supervise)
    long = shop.insert("nap", {"ms": 1500})
    (owner,) = until(lambda: shop.rows("select owner from awa.batch where %s = any (ids) and owner > 0", long))
    forger = shop.insert("scribble", {"cells": [(WORKER_ID, owner)], "then": "stay"}, max_attempts=1)
    shop.until_state("failed", forger)
    assert shop.states(long) == ["running"]
    shop.until_state("completed", long)
    assert shop.effects(long) == ["ran"]
    assert supervisor.events("worker.damaged", cell="WORKER_ID")


def test_a_worker_can_write_to_its_own_part_only(shop: Shop, supervise: Start) -> None:
    start(supervise, processes=1)
    job = shop.insert("reach")
    shop.until_state("completed", job)
    reach = shop.job(job)["result"]
    assert reach["before"] == reach["after"] == 4096 + JOURNAL_BYTES
    assert reach["fds"] == 0


@pytest.mark.parametrize("seed", [20_261_130, 7])
def test_random_bytes_while_jobs_run(shop: Shop, supervise: Start, seed: int) -> None:
    supervisor = start(supervise, processes=3)
    fuzzers = [shop.insert("fuzz", {"seed": seed + i, "for_s": 0.5}, max_attempts=2, timeout_ms=3000) for i in range(4)]
    others = shop.insert_many([("nap", {"ms": 3})] * 300)
    shop.until_state("completed", *others, timeout=60)
    shop.until_state("failed", *fuzzers, timeout=60)
    assert supervisor.process.poll() is None
    assert supervisor.events("worker.damaged")
    twice = {job for job in others if len(shop.effects(job)) > 1}
    recorded = {job for job in others if len(shop.attempts(job)) > 1}
    assert twice <= recorded  # those that stood in one lease with a fuzzer, their outcomes overwritten
    assert all(len(shop.attempts(job)) == 2 for job in fuzzers)
    assert supervisor.stop() == 0
    assert shop.rows("select id from awa.batch") == []
