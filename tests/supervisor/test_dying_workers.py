"""What becomes of the jobs of workers that die."""

import os
import signal

import pytest

from tests.fixtures.supervisor import Shop, Start
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.processes, pytest.mark.postgres]


def test_killed_in_the_middle_of_a_lease(shop: Shop, supervise: Start) -> None:
    """What was finished stays so, what ran has spent its attempt, the rest goes to others as if it had not been here."""
    train = shop.insert_many([("noop", {})] * 300)
    supervisor = supervise(processes=1).ready()
    shop.until_state("completed", *train)  # the worker has learned that these jobs are short: leases are long now
    jobs = shop.insert_many([("note", {"n": n}) for n in range(8)])
    held = shop.insert("hold", {"gate": "one"})
    shop.until_effect("begun", held)
    (victim,) = supervisor.workers()
    os.kill(victim, signal.SIGKILL)
    shop.open("one")
    shop.until_state("completed", held, *jobs)
    first, second = shop.attempts(held)
    assert first["outcome"] == "retryable"
    assert first["error"]["error"] == "worker killed by SIGKILL"
    assert second["outcome"] == "completed"
    assert all(shop.effects(job) == ["ran"] for job in jobs)
    assert supervisor.until_event("worker.exited", pid=victim)["job"] == held
    assert until(lambda: [pid for pid in supervisor.workers() if pid != victim])
