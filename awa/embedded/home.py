"""The directory of an embedded server, and what stands in it.

    start.lock   held while a process starts or stops the server
    users.lock   held, shared, by every process which uses the server
    server.log   what PostgreSQL says
    password     for TCP connections, when a port was asked for
    data/        PostgreSQL's own data directory, mode 0700; the socket is in it if its path is short enough
    data.new.*   the same while initdb fills it: complete or not there

The directory is private (0700). A root process runs the server as another user, who must be able to pass through: then
it is 0711, and `data/`, mode 0700, belongs to that user. Only directories made here change their owner.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from awa.embedded import files, locks
from awa.embedded.account import Account
from awa.errors import EmbeddedError

START_TIMEOUT_SECONDS = 300.0
PATH_BYTES_MAX = 900  # PostgreSQL keeps paths in 1024 bytes and appends file names of its own
LOG_BYTES_MAX = 10_000_000
HARMLESS = {"lost+found"}  # every fresh ext4 volume has one


@dataclass(frozen=True)
class Home:
    """The paths of one embedded server."""

    path: Path

    @property
    def data(self) -> Path:
        """PostgreSQL's data directory."""
        return self.path / "data"

    def unfinished(self) -> list[Path]:
        """Data directories that are being made, or were when their maker was killed."""
        return list(self.path.glob("data.new.*"))

    def new_data(self) -> Path:
        """A new directory for data, never used before: the initdb of a killed process may still write."""
        return self.path / f"data.new.{secrets.token_hex(4)}"

    @property
    def start_lock(self) -> Path:
        """Held alone by the process that starts or stops the server."""
        return self.path / "start.lock"

    @property
    def users_lock(self) -> Path:
        """Held by all who use the server."""
        return self.path / "users.lock"

    @property
    def log(self) -> Path:
        """The output of the server and initdb."""
        return self.path / "server.log"

    @property
    def password(self) -> Path:
        """The password for TCP connections."""
        return self.path / "password"


def default_path() -> Path:
    """The directory of `embedded://`, one per user.

    It is `$XDG_DATA_HOME/awa/postgres`, by default `~/.local/share/awa/postgres`. For root it is
    `/var/lib/awa/postgres`: the server runs as another user then, who cannot enter /root.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/awa/postgres")
    named = os.environ.get("XDG_DATA_HOME", "")
    base = Path(named) if os.path.isabs(named) else Path.home() / ".local" / "share"
    return base / "awa" / "postgres"


@contextmanager
def opened(home: Home, account: Account) -> Iterator[None]:
    """Make the directory if needed and hold its start lock; what was made is taken away again if the body fails.

    Raises:
        EmbeddedError: the directory cannot be made, is in other use, or is closed to the user of the server.
    """
    if "\n" in str(home.path):
        raise EmbeddedError(
            f"The path {str(home.path)!r} has a line break, which PostgreSQL cannot keep. Choose another."
        )
    if len(os.fsencode(home.path)) > PATH_BYTES_MAX:
        raise EmbeddedError(
            f"The path of the embedded server has {len(os.fsencode(home.path))} bytes, at most {PATH_BYTES_MAX} are "
            f"possible. Choose a shorter one than {home.path}"
        )
    made: list[Path] = []
    with ExitStack() as stack:
        try:
            _lock(home, account, stack, made)
        except BaseException:
            _remove_directories(made)
            raise
        try:
            for leftover in home.unfinished():  # a process was killed while initdb ran
                shutil.rmtree(leftover, ignore_errors=True)  # it may be writing still; the next start tries again
            yield
        except BaseException:
            _unmake(home, made)
            raise


def _lock(home: Home, account: Account, stack: ExitStack, made: list[Path]) -> None:
    """Take the start lock, making directory and files first. Directories made are added to `made`, outer first."""
    try:
        while True:
            _make_directories(home, account, made)
            _check_way(home, account)
            try:
                _make_files(home)
                stack.enter_context(locks.exclusive(home.start_lock, START_TIMEOUT_SECONDS))
                return
            except FileNotFoundError:
                continue  # another process failed, and took away what it had made: begin again
    except OSError as error:
        raise EmbeddedError(
            f"Cannot use {home.path} for an embedded server: {error.strerror} ({error.filename}). "
            f"Choose another directory: embedded:///some/path."
        ) from error


def _make_directories(home: Home, account: Account, made: list[Path]) -> None:
    """Make the directory and its missing parents."""
    mode = 0o711 if account.is_other else 0o700
    for directory in reversed([home.path, *home.path.parents]):
        if directory.is_dir():
            continue
        try:
            files.make_directory(directory, mode, os.geteuid(), os.getegid())
        except FileExistsError:
            if not directory.is_dir():
                raise
        else:
            made.append(directory)


def _make_files(home: Home) -> None:
    """Make the lock files in a directory which is new, empty or Awa's own."""
    if not home.start_lock.exists():
        _check_free(home)
    owner = home.path.stat()
    for path in (home.start_lock, home.users_lock, home.log):
        try:
            fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            continue
        try:
            if os.geteuid() == 0:  # the owner of the directory can use it without being root
                os.fchown(fd, owner.st_uid, owner.st_gid)
        finally:
            os.close(fd)


def _check_free(home: Home) -> None:
    """Refuse a directory which holds something else."""
    found = {entry.name for entry in os.scandir(home.path)} - HARMLESS
    own = {"start.lock", "users.lock", "server.log"}
    if found <= own:  # empty, or another process is making its files this very moment
        return
    version = home.path / "PG_VERSION"
    if version.is_file():
        raise EmbeddedError(
            f"{home.path} is a data directory made by PostgreSQL {files.read(version).strip()}, but not by Awa. Awa "
            "keeps its own below the directory it is given: start that server yourself and use its DSN, or choose "
            "another directory."
        )
    example = ", ".join(sorted(found)[:3])
    raise EmbeddedError(
        f"{home.path} is not empty and holds no embedded server (it has {example}). Choose a new or empty directory."
    )


def _check_way(home: Home, account: Account) -> None:
    """Refuse a place which the user of the server cannot reach; its permissions are the user's to change."""
    closed = account.first_closed(home.path)
    if closed is not None:
        raise EmbeddedError(
            f"PostgreSQL does not run as root but as {account.name}, who may not enter {closed}. Choose a directory "
            f"which that user can reach (such as /var/lib/awa/postgres), or open the way: chmod o+x {closed}"
        )


def _unmake(home: Home, made: list[Path]) -> None:
    """Take away what was made here, unless a cluster is complete."""
    if home.data.exists():
        return
    # The start lock goes last: a process that finds it gone finds everything gone, and begins again.
    for path in (home.password, home.log, home.users_lock, home.start_lock):
        path.unlink(missing_ok=True)
    _remove_directories(made)


def _remove_directories(made: list[Path]) -> None:
    """Remove directories which were made here, as far as they are empty."""
    for directory in reversed(made):
        try:
            directory.rmdir()
        except OSError:
            return  # another process has begun again in it: it belongs to that one now


def trim_log(home: Home) -> None:
    """Keep one old log and begin another when it has grown large. It has no writer: the server is not running."""
    if home.log.exists() and home.log.stat().st_size > LOG_BYTES_MAX:
        os.replace(home.log, home.log.with_suffix(".log.old"))
        _make_files(home)
