"""The connection that tests of the engine work on."""

from collections.abc import Iterator

import pytest

from awa.database.open import connect
from tests.engine.helpers import Connection


@pytest.fixture
def db(database: str) -> Iterator[Connection]:
    """A connection as supervisors and workers open it: autocommit, JSON as raw bytes."""
    connection = connect(database, role="test")
    yield connection
    connection.close()
