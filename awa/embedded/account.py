"""The account that the server runs as.

PostgreSQL refuses to run as root. A root process therefore starts it as an unprivileged user: the child process changes
its user between fork and exec, so neither `su` nor a login shell is needed.
"""

import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from awa.errors import EmbeddedError

PREFERRED = ("postgres", "_postgres", "nobody")


class Switch(TypedDict, total=False):
    """The arguments of `subprocess.Popen` which change the user of a child."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True)
class Account:
    """The user a server runs as, and owns its data directory."""

    uid: int
    gid: int
    name: str

    @property
    def is_other(self) -> bool:
        """Return whether a child has to change its user to become this one."""
        return self.uid != os.geteuid()

    def switch(self) -> Switch:
        """Return the arguments with which `subprocess.Popen` starts a child as this user."""
        return Switch(user=self.uid, group=self.gid, extra_groups=[]) if self.is_other else Switch()

    def own(self, path: Path) -> None:
        """Give a directory which the caller has just created, where only the caller may rename it, to this user."""
        if self.is_other:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def reaches(self, directory: Path) -> bool:
        """Return whether this user may enter a directory. Tried by a child, since access lists count as well as mode
        bits."""
        return self.succeeds('cd -- "$1"', str(directory)) if self.is_other else os.access(directory, os.X_OK)

    def succeeds(self, script: str, *arguments: str) -> bool:
        """Return whether a script of the shell succeeds as this user.

        Raises:
            EmbeddedError: this process cannot become that user.
        """
        command = ["/bin/sh", "-c", script, "sh", *arguments]
        try:
            done = subprocess.run(
                command, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, check=False, **self.switch()
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise EmbeddedError(
                f"PostgreSQL does not run as root, and this root process cannot become the user {self.name}: {error}. "
                "Run as an ordinary user, or use the DSN of a server."
            ) from error
        return done.returncode == 0

    def first_closed(self, directory: Path) -> Path | None:
        """The outermost directory on the way to `directory`, or itself, that this user may not enter; or None."""
        if self.reaches(directory):
            return None
        return next((d for d in (*reversed(directory.parents), directory) if not self.reaches(d)), None)


def account_for(data: Path) -> Account:
    """The account that runs the server of a data directory: its owner where it exists, else this user, or for root
    another one.

    Raises:
        EmbeddedError: the directory belongs to another user, or root finds no unprivileged user.
    """
    owner = _owner(data)
    if os.geteuid() == 0:
        return _named(owner) if owner else _unprivileged()
    if owner not in (None, os.geteuid()):
        raise EmbeddedError(
            f"The data directory {data} belongs to {_named(owner or 0).name}, and this process runs as "
            f"{_named(os.geteuid()).name}. Use the same user, or another directory."
        )
    return _named(os.geteuid())


def _owner(data: Path) -> int | None:
    """The owner of the data directory; None before it exists."""
    try:
        found, named_by = data.stat(), data.lstat().st_uid
        above = data.parent.stat().st_uid
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise EmbeddedError(
            f"No permission to look into {data.parent}: {error.strerror}. Run as the user it belongs to, or choose "
            "another directory."
        ) from error
    except OSError as error:  # a link to itself, a name that is too long, a broken disk
        raise EmbeddedError(f"Cannot look into {data.parent}: {error.strerror}. Choose another directory.") from error
    if not stat.S_ISDIR(found.st_mode):
        raise EmbeddedError(f"{data} is not a directory. Choose another path.")
    if os.geteuid() == 0 and not {named_by, above} <= {0, found.st_uid}:
        raise EmbeddedError(
            f"The data directory {data} belongs to {_named(found.st_uid).name}, and {data.parent} to "
            f"{_named(above).name}, who could have root start any server by a link there. Use the server as the user "
            "it belongs to, or choose another directory."
        )
    return found.st_uid


def _named(uid: int) -> Account:
    """The account of a user id; users without an entry in the password database are named by their number."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        gid = os.getegid() if uid == os.geteuid() else uid
        return Account(uid, gid, f"uid {uid}")
    return Account(uid, os.getegid() if uid == os.geteuid() else entry.pw_gid, entry.pw_name)


def _unprivileged() -> Account:
    """The user root starts a new server as."""
    entries = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    ordered = [entries[name] for name in PREFERRED if name in entries] or list(entries.values())
    if not ordered:
        raise EmbeddedError(
            "PostgreSQL does not run as root, and this system has no other user. "
            "Add one (useradd --system postgres), or use the DSN of a server."
        )
    return Account(ordered[0].pw_uid, ordered[0].pw_gid, ordered[0].pw_name)
