"""A node says that it is idle while another one, which takes it for dead, removes it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from awa.engine import nodes
from tests.engine.helpers import Connection
from tests.fixtures.postgres import both_servers
from tests.fixtures.waiting import Session


@both_servers
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_node_that_is_removed_meanwhile(db: Connection, session: Callable[..., Session], end: str) -> None:
    node = nodes.register_node(db, "silent")
    rescuer, listener = session("rescuer"), session("listener")
    rescuer.run("begin")
    rescuer.run(nodes.leave_node, node)
    listener.start(nodes.idle, node)
    listener.until_blocked()
    rescuer.run(end)
    listener.result()
    idle = db.execute("select node_id from awa.idle_node").fetchall()
    assert idle == ([] if end == "commit" else [(node,)])
