"""A supervisor that is a member of awa_worker, and of nothing else: all its duties, and all ways of a job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from awa import Client, JobState
from tests.fixtures.supervisor import Shop, Start
from tests.fixtures.waiting import until

pytestmark = [pytest.mark.processes, pytest.mark.postgres]
WAIT_S = 60.0
SEGMENT_IDS = 1000
SHORT = {"retention_completed_h": 0.0003, "retention_failed_h": 0.0003, "retention_dlq_h": 0.0003}


def test_a_supervisor_with_the_rights_of_a_worker(
    shop: Shop, supervise: Start, login: Callable[[str], str], database: str
) -> None:
    shop.db.execute("grant all on effects to awa_worker")
    shop.db.execute("insert into awa.queue (name, dlq) values ('dead', true)")
    shop.db.execute("insert into awa.queue (name, serial, block_on_retry) values ('serial', true, true)")
    shop.db.execute("select setval('awa.job_id', 999_990)")
    supervisor = supervise(
        dsn=login("awa_worker"), processes=2, queues=("default", "serial", "dead"), segment_ids=SEGMENT_IDS, **SHORT
    ).ready()
    with Client(database) as client:
        keyed: dict[str, Any] = {"unique_opts": {"by_args": True, "states": 0b00000111}}
        kinds = ["note", "once_more", "snooze", "add"]
        jobs = [client.insert({"a": 1, "b": 2}, kind=kind, ordering_key="line", **keyed).id for kind in kinds]
        jobs += [client.insert({"n": n}, kind="note", queue="serial", ordering_key="s").id for n in range(5)]
        jobs += [client.insert({}, kind="die", max_attempts=2).id for _ in range(1)]
        killed = client.insert({"times": 1}, kind="die")
        dead = client.insert({}, kind="boom", queue="dead", max_attempts=1)
        gone = client.insert({}, kind="nobody_knows", expires_at=soon(shop))
        delayed = client.insert({}, kind="note", delay=0.3, **keyed)
        running = client.insert({}, kind="until_cancelled")
        until(lambda: client.get_job(running.id).state == JobState.Running, WAIT_S, "it runs")
        client.cancel(running.id)
        shop.until_state("completed", *[job for job in jobs if job != jobs[-1]], killed.id, delayed.id, timeout=WAIT_S)
        shop.until_state("failed", jobs[-1], dead.id, timeout=WAIT_S)
        shop.until_state("cancelled", gone.id, running.id, timeout=WAIT_S)
        # The ids have left the first segment: another is made ahead, and it is dropped when what is in it may go.
        supervisor.until_event("retire.segment", timeout=WAIT_S)
        until(
            lambda: shop.rows("select min(id) > 1 and max(id) > 5 from awa.segment") == [True], WAIT_S, "a new segment"
        )
        until(lambda: client.dlq_depth() == 0, WAIT_S, "the dead letter has been forgotten")
    assert supervisor.stop() == 0
    assert "permission denied" not in supervisor.text()
    assert shop.rows("select count(*) from awa.batch where owner is not null") == [0]


def soon(shop: Shop) -> Any:
    return shop.rows("select clock_timestamp() + interval '1 second'")[0]


def test_a_dead_node_is_rescued_by_another(shop: Shop, supervise: Start, login: Callable[[str], str]) -> None:
    shop.db.execute("grant all on effects to awa_worker")
    first = supervise(dsn=login("awa_worker"), processes=1).ready()
    job = shop.insert("step", {"gate": "open"})
    until(lambda: shop.states(job) == ["running"], WAIT_S, "it runs")
    first.close()
    shop.open("open")
    second = supervise(dsn=login("awa_worker"), processes=1).ready()
    shop.until_state("completed", job, timeout=WAIT_S)
    assert second.stop() == 0
    assert "permission denied" not in second.text()


def test_a_dump_is_sealed_anew(shop: Shop, supervise: Start, login: Callable[[str], str]) -> None:
    """As after a restore from another cluster: xids of job_log are written, which takes a right of its own."""
    shop.db.execute("grant all on effects to awa_worker")
    job = shop.insert("note")
    shop.db.execute("update awa.seal_ledger set system_id = 1")
    supervisor = supervise(dsn=login("awa_worker"), processes=1).ready()
    shop.until_state("completed", job, timeout=WAIT_S)
    supervisor.until_event("seal.restored")
    assert supervisor.stop() == 0
    assert "permission denied" not in supervisor.text()


def test_a_client_works_as_a_worker(login: Callable[[str], str]) -> None:
    with Client(login("awa_worker")) as client:

        @client.task(kind="greet")
        def greet(job: Any) -> None:
            with job.transaction() as tx:
                tx.insert({}, kind="other")

        job = client.insert({}, kind="greet")
        assert client.work() == 1
        assert client.get_job(job.id).state == JobState.Completed
        assert [job.kind for job in client.list_jobs(state="available")] == ["other"]
        assert client.insert_many([{}], kind="greet").inserted == 1
