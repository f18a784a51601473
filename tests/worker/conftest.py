"""One supervisor for all tests of what handlers may do: none of them harms another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from awa import embedded
from tests.fixtures.postgres import TEMPLATE, _cloned
from tests.fixtures.supervisor import Shop, Supervisor


@pytest.fixture(scope="module")
def open_shop(server: embedded.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """An application whose workers run already."""
    directory: Path = tmp_path_factory.mktemp("shop")
    for dsn in _cloned(server, TEMPLATE):
        shop = Shop(dsn, directory)
        supervisor = Supervisor(directory, {"SHOP_DSN": dsn, "SHOP_GATES": str(directory)}, "supervisor")
        yield shop
        supervisor.close()
        shop.close()
