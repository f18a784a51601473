"""The database goes back to an earlier state (a snapshot, recovery to a point in time) under supervisors that live."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.helpers import small_segments
from tests.fixtures.supervisor import QUICK, Shop, Start, Supervisor
from tests.fixtures.waiting import until
from tests.retire.steps import watch_until_sealed
from tests.trouble.own import OwnServer

pytestmark = [pytest.mark.processes, pytest.mark.postgres]

MANY = 250
"""Jobs whose ids are given out once more: more than two segments."""


def kept(server: OwnServer) -> Callable[[], None]:
    """Keep what the server has; return what sets it back to that."""
    copy = server.path.with_name("kept")
    server.stop()
    subprocess.run(["cp", "-a", str(server.path), str(copy)], check=True)
    server.start()

    def set_back() -> None:
        server.stop()
        shutil.rmtree(server.path)
        copy.rename(server.path)
        server.start()

    return set_back


def freeze(supervisor: Supervisor, number: signal.Signals = signal.SIGSTOP) -> None:
    """Stop all processes of a supervisor, or let them go on."""
    for process in supervisor.family():
        process.send_signal(number)


def test_ids_that_are_given_out_once_more_are_sealed(own_server: OwnServer, supervise: Start, tmp_path: Path) -> None:
    """What is known of the ids below which all are sealed does not outlive the connection."""
    shop = Shop(own_server.dsn, tmp_path)
    small_segments(shop.db, 100, 8)
    supervisor = supervise(dsn=own_server.dsn, processes=1).ready()
    shop.until_state("completed", shop.insert("noop"))
    shop.close()
    set_back = kept(own_server)
    shop = Shop(own_server.dsn, tmp_path)
    first = shop.insert_many([("noop", {})] * MANY)
    shop.until_state("completed", *first)
    watch_until_sealed(shop.db)
    for _ in range(3):  # each is a seal of its own
        shop.until_state("completed", shop.insert("noop"))
    shop.close()
    freeze(supervisor)
    set_back()
    shop = Shop(own_server.dsn, tmp_path)
    second = shop.insert_many([("noop", {})] * MANY)
    assert second == first
    freeze(supervisor, signal.SIGCONT)
    shop.until_state("completed", *second)
    shop.close()
    assert supervisor.stop() == 0


def test_a_node_that_is_gone_is_rescued(own_server: OwnServer, supervise: Start, tmp_path: Path) -> None:
    """Its last heartbeats went with the state that the database has lost; the leader had counted them."""
    shop = Shop(own_server.dsn, tmp_path)
    leader = supervise(dsn=own_server.dsn, processes=1, queues=["other"]).ready()
    leader.until_event("lead.elected")
    doomed = supervise(dsn=own_server.dsn, processes=1).ready()
    held = shop.insert("step", {"gate": "open"})
    shop.until_effect("waiting", held)
    shop.close()
    set_back = kept(own_server)
    shop = Shop(own_server.dsn, tmp_path)
    beat = "select max(beat) from awa.node"
    (before,) = shop.rows(beat)
    until(lambda: shop.rows(beat)[0] > before + 5 / QUICK["heartbeat_interval_s"])
    shop.close()
    doomed.close()
    set_back()
    shop = Shop(own_server.dsn, tmp_path)
    leader.until_event("rescue.node", timeout=30)
    shop.close()
    assert leader.stop() == 0
