"""What holds up the queue is named by the node that leads."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from awa.engine.seal import seal
from tests.fixtures.supervisor import Shop, Start
from tests.fixtures.waiting import Session

pytestmark = [pytest.mark.processes, pytest.mark.postgres]


def test_whoever_holds_up_the_queue_is_named(shop: Shop, supervise: Start, session: Callable[..., Session]) -> None:
    supervisor = supervise(processes=1).ready()
    supervisor.until_event("lead.elected")
    holder, client = session("careless", shop.dsn), session("awa client", shop.dsn)
    name = f"process {holder.pid} (application careless"

    holder.run("begin")
    holder.run("lock table awa.seal_lock in share update exclusive mode")
    job = shop.insert("noop")
    assert name in supervisor.until_event("seal.stopped")["held_by"]
    assert not seal(shop.db).locked
    holder.run("rollback")
    shop.until_state("completed", job)

    holder.run("begin")
    holder.run("select from awa.leader for update")
    client.start("select from awa.leader for update")
    for who in ("awa leader", "awa client"):
        said = supervisor.until_event("database.locked", who=who)
        assert name in said["held_by"]
        assert "select from awa.leader for update" in said["held_by"]
        assert said["waited_s"] >= 1
    holder.run("rollback")
    client.result()
