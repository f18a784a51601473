"""The workspace of a demo: a private directory, with an embedded database in it unless one is given."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from awa import embedded
from awa.database.dsn import resolve
from awa.errors import EmbeddedError

DATABASE_PREFIX: Final = "awa-demo-"
LOCK: Final = "demo.lock"
SERVER: Final = "postgres"


@dataclass(frozen=True)
class Workspace:
    """A directory that lasts as long as the demo, and a database."""

    directory: Path
    dsn: str

    @property
    def log(self) -> Path:
        """The output of the supervisor and its workers."""
        return self.directory / "supervisor.log"


@contextmanager
def opened(database_url: str | None, say: Callable[[str], None]) -> Iterator[Workspace]:
    """Make a directory, and an embedded database unless `database_url` names one; both are gone afterwards."""
    sweep(say)
    with ExitStack() as stack:
        directory = stack.enter_context(private_directory())
        if database_url is None:
            server = stack.enter_context(embedded.start(directory / SERVER))
            yield Workspace(directory, server.dsn)
        else:
            yield Workspace(directory, resolve(database_url))


@contextmanager
def private_directory() -> Iterator[Path]:
    """A directory under the system's temporary one. Its lock is held as long as it is in use."""
    directory = Path(tempfile.mkdtemp(prefix=DATABASE_PREFIX))
    try:
        directory.chmod(0o711)  # started by root, the database runs as another user, who has to pass through
        fd = os.open(directory / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield directory
        finally:
            os.close(fd)
    finally:
        shutil.rmtree(directory)


def sweep(say: Callable[[str], None]) -> None:
    """Remove what demos of this user have left that were killed and could not do it themselves."""
    for directory in Path(tempfile.gettempdir()).glob(f"{DATABASE_PREFIX}*"):
        if directory.stat().st_uid == os.geteuid() and _is_abandoned(directory):
            try:
                embedded.stop(directory / SERVER)
                shutil.rmtree(directory)
            except (EmbeddedError, OSError) as error:
                say(f"left by an earlier demo, and not to be removed: {directory}: {error}")


def _is_abandoned(directory: Path) -> bool:
    try:
        fd = os.open(directory / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False  # a demo that starts at this moment, or none
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)
    return True
