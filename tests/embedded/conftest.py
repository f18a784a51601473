"""Places for servers which these tests make and break."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from awa import embedded
from tests.fixtures.run import places


@pytest.fixture
def ground() -> Iterator[Path]:
    """A directory everybody may pass through. Those of pytest are closed to the user of a server that root starts."""
    path = Path(tempfile.mkdtemp(prefix="awa-ground-", dir=places()[0]))
    path.chmod(0o755)
    yield path
    for directory in (path, *path.iterdir()):
        if (directory / "start.lock").exists():
            embedded.stop(directory)
    shutil.rmtree(path)


@pytest.fixture
def place(ground: Path) -> Path:
    """Where a server may be made; nothing is there yet."""
    return ground / "server"


@pytest.fixture
def as_root() -> None:
    """Skips a test about root for others."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
