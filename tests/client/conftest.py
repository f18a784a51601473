"""A client of the test's database."""

from collections.abc import Iterator

import pytest

from awa import Client


@pytest.fixture
def client(database: str) -> Iterator[Client]:
    with Client(database) as made:
        yield made
