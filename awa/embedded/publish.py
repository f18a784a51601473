"""Binaries which the server's user can reach.

A virtual environment of root often lies below /root, where no other user may enter, or is made of links that lead
there. Its PostgreSQL is then copied, once, to a directory that all can read. The copy is found again by its name: the
version, and where it came from. What cleaners of old files, full disks and killed processes leave of a copy is
replaced.
"""

import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from awa.embedded.account import Account
from awa.embedded.binaries import PROGRAMS, Binaries
from awa.errors import EmbeddedError

PLACES = (Path("/var/cache/awa"), Path("/var/tmp/awa-root"))
UNNEEDED = ("*.a", "pkgconfig", "pgxs")
RUNS = """\
cd -- "$1" || exit 1
for program in {programs}; do "./$program" --version || exit 1; done
test -e ../share/postgres.bki || test ! -L ../share/postgres.bki || exit 1
test -e ../share/postgres.bki || exit 0
for path in ../lib ../share ../lib/* ../lib/*/* ../share/* ../share/*/* ../share/*/*/* ../share/*/*/*/*; do
  if test -d "$path"; then test -x "$path" && test -r "$path"
  elif test -e "$path" || test -L "$path"; then test -r "$path"
  fi || exit 1
done
"""
"""As the server's user: the programs run, and all they may load can be read. Programs of a package of the system have
their files elsewhere, open to all."""


def reachable(binaries: Binaries, account: Account) -> Binaries:
    """The same programs, at a place which the account can reach.

    Raises:
        EmbeddedError: they cannot be reached, and cannot be copied, or there is no place for a copy.
    """
    if not account.is_other or _runs(binaries.directory, account):
        return binaries
    tree = binaries.directory.parent
    if not (tree / "share" / "postgres.bki").is_file():
        closed = account.first_closed(binaries.directory) or binaries.directory / "postgres"
        raise EmbeddedError(
            f"PostgreSQL does not run as root but as {account.name}, to whom {closed} is closed: that user cannot run "
            f"the programs in {binaries.directory}. Install PostgreSQL elsewhere and set AWA_PG_BIN."
        )
    return replace(binaries, directory=_published(tree, binaries.version, account) / _below(tree) / "bin")


def _published(tree: Path, version: str, account: Account) -> Path:
    """The directory of a copy that the account can run: the one that is there, or one made now."""
    made = (tree / "bin" / "postgres").stat().st_mtime_ns
    name = f"postgresql-{version}-{hashlib.sha256(f'{tree} {made}'.encode()).hexdigest()[:12]}"
    refused = []
    for place in PLACES:
        try:
            _ensure_place(place)
            with _alone_in(place):
                if not _is_whole(tree, place / name, account):
                    _copy(tree, place / name, account)
            return place / name
        except (OSError, shutil.Error) as error:
            refused.append(f"{place}: {getattr(error, 'strerror', None) or error}")
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


@contextmanager
def _alone_in(place: Path) -> Iterator[None]:
    """Wait until no other process makes or replaces a copy there. The lock of a killed process is gone with it."""
    fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _copy(tree: Path, target: Path, account: Account) -> None:
    """Copy what a server needs, and what links in it lead to. It gets its name when the account can run it."""
    scratch = Path(tempfile.mkdtemp(prefix=".copying-", dir=target.parent))
    try:
        for source, below in _parts(tree):
            shutil.copytree(
                source, scratch / below, ignore=shutil.ignore_patterns(*UNNEEDED), ignore_dangling_symlinks=True
            )
        _open_to_all(scratch)
        if not _is_whole(tree, scratch, account):
            raise PermissionError(1, f"{account.name} cannot run the programs there", str(target.parent))
        if os.path.lexists(target):  # a server that runs from the broken copy keeps the files it has open
            os.rename(target, Path(tempfile.mkdtemp(prefix=".broken-", dir=target.parent)) / target.name)
        os.rename(scratch, target)
    finally:
        for leftover in (*target.parent.glob(".copying-*"), *target.parent.glob(".broken-*")):
            shutil.rmtree(leftover, ignore_errors=True)  # those of killed processes, too: this one is alone here


def _parts(tree: Path) -> Iterator[tuple[Path, Path]]:
    """The directories of a server and its tools, with their places in a copy."""
    for name in ("bin", "lib", "share"):
        yield tree / name, _below(tree) / name
    # Wheels keep the libraries they bring beside the package (Linux) or in it (macOS); programs look there.
    package = tree.parent
    for libraries in (package.parent / f"{package.name}.libs", package / ".dylibs"):
        if libraries.is_dir():
            yield libraries, libraries.relative_to(package.parent)


def _below(tree: Path) -> Path:
    """The tree's place in a copy: a directory of its package's name, for the sake of the libraries beside."""
    return Path(tree.parent.name, tree.name)


def _is_whole(tree: Path, copy: Path, account: Account) -> bool:
    """Return whether a copy has every file with its size and time, and the account can run its programs."""
    for source, below in _parts(tree):
        for directory, directories, names in os.walk(source, followlinks=True):
            skipped = shutil.ignore_patterns(*UNNEEDED)(directory, [*directories, *names])
            directories[:] = sorted(set(directories) - skipped)
            for name in set(names) - skipped:
                path = Path(directory, name)
                if path.exists() and not _is_same(path, copy / below / path.relative_to(source)):
                    return False
    return _runs(copy / _below(tree) / "bin", account)


def _is_same(source: Path, copy: Path) -> bool:
    try:
        found, wanted = copy.lstat(), source.stat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and (found.st_size, int(found.st_mtime)) == (
        wanted.st_size,
        int(wanted.st_mtime),
    )


def _runs(directory: Path, account: Account) -> bool:
    """Return whether the account can run the programs of a directory, and read what they load."""
    return account.succeeds(RUNS.format(programs=" ".join(PROGRAMS)), str(directory))


def _open_to_all(root: Path) -> None:
    """Let every user read and run the copy, whatever the umask was."""
    for directory, _, names in os.walk(root):
        os.chmod(directory, 0o755)
        for name in names:
            path = Path(directory, name)
            path.chmod(path.stat().st_mode | (0o555 if path.stat().st_mode & 0o100 else 0o444))
