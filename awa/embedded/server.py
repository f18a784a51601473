"""Joining a server, starting it if it does not run, and leaving it, stopping it after its last user."""

import atexit
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from awa.embedded import binaries as find_binaries
from awa.embedded import cluster, config, failures, locks, postmaster, sockets
from awa.embedded.account import Account, account_for
from awa.embedded.binaries import Binaries
from awa.embedded.home import START_TIMEOUT_SECONDS, Home, default_path, opened, trim_log
from awa.embedded.postmaster import RunningServer
from awa.embedded.publish import reachable
from awa.errors import EmbeddedError

PORT_ATTEMPTS = 5


class Server:
    """An embedded server which this process uses. A context manager: leaving it is `stop()`."""

    def __init__(
        self, home: Home, running: RunningServer, users: locks.Users, version: str, tcp: bool, keep: bool
    ) -> None:
        self.path = home.path
        self.data_dir = home.data
        self.version = version
        self.pid = running.pid
        self.dsn = _dsn(home, running, tcp)
        self.superuser_dsn = _socket_dsn(running, cluster.SUPERUSER, "postgres")
        self._home = home
        self._running = running
        self._users: locks.Users | None = users
        self._keep = keep
        self._joined_by = os.getpid()
        atexit.register(self.stop)

    def stop(self) -> bool:
        """Leave the server. The last of its users stops it; with `keep` it goes on without any.

        In a forked child this only lets go of what was inherited: the server belongs to the parent. Calling it again
        does nothing.

        Returns:
            Whether the server was stopped.
        """
        atexit.unregister(self.stop)
        users, self._users = self._users, None
        if users is None:
            return False
        if os.getpid() != self._joined_by:
            users.close()
            return False
        try:
            with locks.exclusive(self._home.start_lock, START_TIMEOUT_SECONDS):
                if self._keep or not users.alone():
                    return False
                postmaster.stop(self._home, self._running)
                return True
        except FileNotFoundError:
            return False  # the whole directory was removed; PostgreSQL sees that and ends within a minute
        finally:
            users.close()

    def is_running(self) -> bool:
        """Return whether the server process is alive."""
        return postmaster.is_alive(self._home, self._running)

    def log_tail(self) -> str:
        """The last lines of the server's log."""
        return failures.tail(self._home.log)

    def __enter__(self) -> "Server":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<awa.embedded.Server {self.path} PostgreSQL {self.version}>"


def start(
    path: str | os.PathLike[str] | None = None,
    *,
    port: int | None = None,
    settings: Mapping[str, str] | None = None,
    keep: bool = False,
    bin_dir: str | os.PathLike[str] | None = None,
) -> Server:
    """Join the embedded server of a directory, starting it (and making its cluster) if need be.

    Args:
        path: its directory; by default one per user (see `awa.embedded.home.default_path`).
        port: a TCP port of 127.0.0.1 to listen on as well, 0 for any free one. By default only the unix socket.
        settings: PostgreSQL settings, name to value, which a running server has to have too.
        keep: let the server go on when its last user leaves.
        bin_dir: the directory of the server programs; by default they are looked for.

    Returns:
        The server, with this process among its users until `stop()`.

    Raises:
        EmbeddedError: it cannot be had; the text says why and what to do. What was half made is removed.
    """
    home = Home(Path(path).absolute() if path is not None else default_path())
    config.check(settings or {})
    programs = find_binaries.find(Path(bin_dir) if bin_dir is not None else None)
    account = account_for(home.data)
    with opened(home, account):
        programs = reachable(programs, account)
        cluster.ensure(home, programs, account, cluster.is_durable(settings or {}))
        users = locks.Users(home.users_lock)
        try:
            running = _ensure_running(home, programs, account, users.alone(), port, settings)
            users.join()
        except BaseException as error:
            users.close()
            if isinstance(error, OSError):
                raise failures.explain("Starting the server", home.path, str(error)) from error
            raise
    return Server(home, running, users, programs.version, port is not None, keep)


def stop(path: str | os.PathLike[str] | None = None) -> bool:
    """Stop the unused server of a directory: kept, or left by a process that was killed.

    Returns:
        Whether it was stopped: False if none ran.

    Raises:
        EmbeddedError: it is in use, or does not end.
    """
    home = Home(Path(path).absolute() if path is not None else default_path())
    if not home.start_lock.exists():
        return False
    with locks.exclusive(home.start_lock, START_TIMEOUT_SECONDS):
        users = locks.Users(home.users_lock)
        try:
            running = postmaster.settled(home) if home.data.exists() else None
            if running is None:
                return False
            if not users.alone():
                raise EmbeddedError(f"The server in {home.path} is in use by another process. End that first.")
            postmaster.stop(home, running)
            return True
        finally:
            users.close()


def _ensure_running(
    home: Home, programs: Binaries, account: Account, alone: bool, port: int | None, settings: Mapping[str, str] | None
) -> RunningServer:
    """The running server if it will do, else a started one; one which will not do is replaced if it has no user."""
    running = postmaster.settled(home)
    if running:
        lack = config.mismatch(home, running, port, settings)
        if lack is None:
            if alone:  # the process that started it may have been killed before it was done
                _complete(home, running)
            return running
        if not alone:
            raise EmbeddedError(
                f"The server in {home.path} {lack}, and others are using it. Ask for the same, or end those first."
            )
        postmaster.stop(home, running)
    trim_log(home)
    running = _launch(home, programs, account, port, settings or {})
    try:
        _complete(home, running)
    except BaseException:
        postmaster.stop(home, running)
        raise
    return running


def _complete(home: Home, running: RunningServer) -> None:
    """See to it that the server has what its users connect to."""
    password = config.ensure_password(home) if running.tcp else None
    cluster.ensure_database(home, _socket_dsn(running, cluster.SUPERUSER, "postgres"), password)


def _launch(
    home: Home, programs: Binaries, account: Account, port: int | None, settings: Mapping[str, str]
) -> RunningServer:
    """Start the server. A free port may be taken between finding and using it: then another one is tried."""
    for attempt in range(PORT_ATTEMPTS):
        chosen = (port or sockets.free_port()) if port is not None else sockets.DEFAULT_PORT
        config.write(home, account, sockets.directory_for(home, account), chosen, port is not None, settings)
        try:
            return postmaster.launch(home, programs, account)
        except EmbeddedError as error:
            if port != 0 or not failures.address_in_use(str(error)) or attempt == PORT_ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable: the last attempt returns or raises")


def _dsn(home: Home, running: RunningServer, tcp: bool) -> str:
    """The application's address: TCP if this user of the server asked for a port, else the socket."""
    if not tcp:
        return _socket_dsn(running, cluster.OWNER, cluster.DATABASE)
    password = quote(config.ensure_password(home), safe="")
    return f"postgresql://{cluster.OWNER}:{password}@127.0.0.1:{running.port}/{cluster.DATABASE}"


def _socket_dsn(running: RunningServer, role: str, database: str) -> str:
    """A URL which leads through the socket."""
    return f"postgresql://{role}@/{database}?host={quote(str(running.sockets), safe='')}&port={running.port}"
