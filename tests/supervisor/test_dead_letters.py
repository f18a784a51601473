"""Jobs that fail under a real supervisor: as dead letters, on every way to fail, and back again."""

from __future__ import annotations

import pytest

from awa import Client
from tests.fixtures.supervisor import Shop, Start
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.processes, pytest.mark.postgres]
WAIT_S = 60.0


def test_every_way_to_fail_for_good_ends_among_the_dead_letters(shop: Shop, supervise: Start, database: str) -> None:
    """The policy is set while the supervisor runs; the operator's retry wakes it."""
    supervisor = supervise(processes=2).ready()
    with Client(database) as client:
        before = shop.insert("terminal")
        shop.until_state("failed", before, timeout=WAIT_S)
        client.configure_queue("default", dlq=True)
        raised, killed = shop.insert("terminal"), shop.insert("die", max_attempts=1)
        twice = shop.insert("boom", max_attempts=1)
        shop.until_state("failed", raised, killed, twice, timeout=WAIT_S)
        entries = {entry.job.id: entry for entry in client.list_dlq()}
        assert {job: entry.reason for job, entry in entries.items()} == {
            raised: "terminal_error",
            killed: "worker killed by SIGKILL",
            twice: "max_attempts_exhausted",
        }
        assert entries[killed].job.errors[0]["type"] == "WorkerDied"
        supervisor.until_event("dlq.moved", jobs=1, reason="worker killed by SIGKILL", timeout=WAIT_S)
        assert client.bulk_retry_from_dlq(kind="boom") == 1
        until(lambda: client.get_dlq_job(twice) is not None, WAIT_S, "it has failed again")
        again = client.get_dlq_job(twice)
        assert again is not None
        assert (again.original_run_lease, len(again.job.errors)) == (2, 2)
        assert client.get_job(before).state.is_terminal
        assert client.get_dlq_job(before) is None
