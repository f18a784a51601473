"""Workers killed at random instants: the board stays readable and tells the truth."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from awa.processes.board.slot import Slot
from awa.processes.forkserver import Exited
from tests.fixtures.processes import Family
from tests.fixtures.waiting import until

pytestmark = pytest.mark.processes

KILLS = 40


def check_page(slot: Slot) -> list[int]:
    """Check that what the journal holds is what the worker wrote: consecutive jobs of one lease, each intact."""
    ids = []
    for each in slot.journal.read().settlements:
        assert (each.started_us, each.finished_us) == (each.job_id, each.job_id + 1)
        assert each.payload == (None if each.job_id % 3 else b"[%d]" % (10 ** (each.job_id % 40)))
        assert each.cpu_us == (each.job_id - 1) // 50 + 1
        assert each.peak_kb == (each.job_id - 1) % 50
        ids.append(each.job_id)
    assert ids == list(range(ids[0], ids[0] + len(ids))) if ids else True
    return ids


def test_the_board_of_a_worker_killed_at_any_instant_tells_the_truth(family: Callable[..., Family]) -> None:
    made = family("tests.processes.children:boot", "tests.processes.children:child", slots=1)
    made.ready()
    slot = made.board[0]
    caught_running = caught_finished = 0
    for worker_id in range(1, KILLS + 1):
        made.fork(0, {"do": "run_jobs", "worker_id": worker_id})
        until(lambda: slot.jobs_done() > 50)
        for _ in range(random.randrange(50)):  # read while it writes, until some instant
            check_page(slot)
            running = slot.running()
            assert running is None or (running.attempt, running.position) == (
                (running.job_id - 1) // 50 + 1,
                (running.job_id - 1) % 50,
            )
        made.server.kill(0)
        made.next(Exited)
        finished = check_page(slot)
        remains = slot.remains()
        assert slot.worker_id == worker_id
        if remains.running:
            # No job is in neither place: the one before is in the journal, or was settled with the lease before.
            assert finished[-1:] == ([] if remains.running.position == 0 else [remains.running.job_id - 1])
        caught_running += remains.running is not None
        caught_finished += bool(remains.finished)
    assert caught_finished > KILLS // 2
    assert caught_running > KILLS // 10
