"""Servers and ways to them that may break."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from awa import embedded
from tests.fixtures.tcpproxy import TcpProxy
from tests.trouble.own import OwnServer
from tests.trouble.pooler import Pooler, in_front_of
from tests.trouble.settings import Apply, applying


@pytest.fixture
def proxy(database: str) -> Iterator[TcpProxy]:
    """A way to the test's database that can be made to stall, break or disappear."""
    with TcpProxy.to(database) as proxy:
        yield proxy


@pytest.fixture
def own_server(server: embedded.Server) -> Iterator[OwnServer]:
    """A server that nobody else uses."""
    directory = Path(tempfile.mkdtemp(prefix="awa-own-", dir=server.path.parent))
    directory.chmod(0o755)
    own = OwnServer(directory / "data")
    yield own
    own.stop()
    shutil.rmtree(directory)


@pytest.fixture
def pooler(server: embedded.Server, database: str) -> Iterator[Pooler]:
    """A PgBouncer of the test's own."""
    with in_front_of(server, database) as pooler:
        yield pooler


@pytest.fixture
def apply(database: str, superuser_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Apply:
    """Gives a role, a database or the environment some settings, for connections that are opened from now on."""
    return applying(database, superuser_dsn, monkeypatch)
