"""The settings of an embedded server, in one file which is written again at every start: `data/awa.conf`.

PostgreSQL's own defaults hold for everything else: what is committed is on the disk (`fsync`, `synchronous_commit`).

Authentication: on the socket every client is trusted, because only the server's user and root can enter its directory
(0700). Over TCP, which has to be asked for, every user of the machine could connect: there a password is needed.
"""

import secrets
from collections.abc import Mapping
from pathlib import Path

from awa.embedded import files
from awa.embedded.account import Account
from awa.embedded.home import Home
from awa.embedded.postmaster import RunningServer
from awa.errors import EmbeddedError

FILE = "awa.conf"
ACCESS = """\
local  all  all                trust
host   all  all  127.0.0.1/32  scram-sha-256
"""
BASE = {
    "shared_buffers": "128MB",
    "log_line_prefix": "%m [%p] ",
    "logging_collector": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
}
RESERVED = (
    "port",
    "listen_addresses",
    "unix_socket_directories",
    "data_directory",
    "hba_file",
    "unix_socket_permissions",
)


def check(settings: Mapping[str, str]) -> None:
    """Refuse settings on which the life cycle itself depends."""
    if refused := sorted(set(RESERVED) & set(settings)):
        raise EmbeddedError(f"The setting {refused[0]} of an embedded server is not free. For a TCP port, use port=.")


def install(data: Path, account: Account) -> None:
    """Let a fresh cluster read our file, and write its access rules."""
    main = data / "postgresql.conf"
    files.replace(main, f"{files.read(main)}\ninclude_if_exists = '{FILE}'\n", account.uid, account.gid)
    files.replace(data / "pg_hba.conf", ACCESS, account.uid, account.gid)


def write(home: Home, account: Account, sockets: Path, port: int, tcp: bool, settings: Mapping[str, str]) -> None:
    """Write the settings for the next start."""
    chosen = BASE | dict(settings)
    directory = str(sockets).replace('"', '""')
    chosen |= {
        "port": str(port),
        "listen_addresses": "127.0.0.1" if tcp else "",
        "unix_socket_directories": f'"{directory}"',  # a list of paths, each in quotes
    }
    lines = ["# Written by Awa at every start; what you change here is lost.", *_lines(chosen)]
    files.replace(home.data / FILE, "\n".join(lines) + "\n", account.uid, account.gid)


def mismatch(home: Home, running: RunningServer, port: int | None, settings: Mapping[str, str] | None) -> str | None:
    """Return how a running server differs from the request, in words; None when it will do. A port of 0 is any port."""
    if port is not None and not running.tcp:
        return "has no TCP port"
    if port and port != running.port:
        return f"listens on port {running.port} and not on {port}"
    current = files.read(home.data / FILE).splitlines() if settings else []
    missing = [line for line in _lines(settings or {}) if line not in current]
    return f"runs without the setting {missing[0]}" if missing else None


def ensure_password(home: Home) -> str:
    """The password for TCP connections; made when first needed."""
    if not home.password.exists():
        owner = home.path.stat()
        files.replace(home.password, secrets.token_urlsafe(24), owner.st_uid, owner.st_gid)
    return files.read(home.password)


def _lines(settings: Mapping[str, str]) -> list[str]:
    """Settings as PostgreSQL reads them."""
    return [f"{name} = '{_escaped(value)}'" for name, value in settings.items()]


def _escaped(value: str) -> str:
    """A value as it stands between single quotes."""
    return value.replace("\\", "\\\\").replace("'", "''")
