"""The socket that the server listens on."""

import hashlib
import os
import socket
import stat
import sys
import tempfile
from pathlib import Path

from awa.embedded import files
from awa.embedded.account import Account
from awa.embedded.home import Home
from awa.errors import EmbeddedError

DEFAULT_PORT = 5432  # only part of the socket's name, as long as no TCP port is asked for
SOCKET_PATH_BYTES_MAX = 107 if sys.platform.startswith("linux") else 103  # sun_path, less its final zero


def directory_for(home: Home, account: Account) -> Path:
    """The directory of the socket: the data directory, which is private, or a short one if that will not do.

    Raises:
        EmbeddedError: the short directory exists, and is not a private directory of the server's user.
    """
    return home.data if _is_usable(home.data) else _short_directory(home, account)


def clear(home: Home, account: Account) -> None:
    """Remove the sockets a killed server has left. PostgreSQL does not while its process number seems to be in use."""
    files.remove_owned(directory_for(home, account), account.uid, ".s.PGSQL.")


def discard(directory: Path, home: Home) -> None:
    """Remove the socket directory of a stopped server, if it was a short one."""
    if directory == _short_path(home):
        try:
            directory.rmdir()
        except OSError:
            return  # gone already, or not empty: the next start uses it again


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(directory: Path, port: int) -> bool:
    """Return whether a server listens on the socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(directory / f".s.PGSQL.{port}"))
        except OSError:
            return False
        return True


def _is_usable(directory: Path) -> bool:
    """Return whether clients can name a socket there: not too long, and without a comma, for libpq the end of a
    host."""
    return len(os.fsencode(directory / ".s.PGSQL.65535")) <= SOCKET_PATH_BYTES_MAX and "," not in str(directory)


def _short_directory(home: Home, account: Account) -> Path:
    """A private directory whose name follows from the data directory, so that a later start finds it again."""
    target = _short_path(home)
    try:
        if not os.path.lexists(target):
            _make_private(target, account)
        found = target.lstat()
    except OSError as error:
        raise EmbeddedError(f"Cannot make the socket directory {target}: {error}. Choose a shorter path.") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != account.uid or stat.S_IMODE(found.st_mode) != 0o700:
        raise EmbeddedError(
            f"The socket directory {target} exists, and is not a private directory of {account.name}. "
            "Remove it, or choose a shorter path for the server."
        )
    return target


def _short_path(home: Home) -> Path:
    """The path of that directory."""
    name = "awa-" + hashlib.sha256(os.fsencode(home.path)).hexdigest()[:16]
    base = Path(tempfile.gettempdir())
    return base / name if _is_usable(base / name) else Path("/tmp") / name


def _make_private(target: Path, account: Account) -> None:
    """Make a directory which has its owner and mode from the moment it has its name."""
    scratch = Path(tempfile.mkdtemp(prefix=".awa-", dir=target.parent))
    try:
        account.own(scratch)
        os.rename(scratch, target)
    except OSError:
        scratch.rmdir()
        raise
