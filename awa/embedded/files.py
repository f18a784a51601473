"""Files of a directory in which another user may write.

Root keeps the server's directory, and the server's user owns `data/`: that user can put a symbolic link, a pipe or
another's file under any name there, at any moment. So a path is never believed. A directory is opened first, and files
are opened relative to it: never through a link, only regular files with a single name, and only those that belong to
who owns the directory or to the server's user. Owner and mode are set on what is open, not on a name. What such a file
says is that user's word, and is written with no more effect than that user could have.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from awa.errors import EmbeddedError

READ_BYTES_MAX = 1_000_000
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe does not keep its reader waiting
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def read(path: Path) -> str:
    """Return the text of a file.

    Raises:
        FileNotFoundError: there is no such file.
        EmbeddedError: it is a link, no regular file, or of another user.
    """
    with _directory(path.parent) as place, os.fdopen(_open(place, path, _LOOK), "rb") as file:
        return file.read(READ_BYTES_MAX).decode(errors="replace")


def replace(path: Path, text: str, uid: int, gid: int) -> None:
    """Put a new file with this text, mode 0600, in the place of `path`, and give it to the directory's owner.

    Raises:
        OSError: the file cannot be made, or something else was put in its way meanwhile.
        EmbeddedError: the directory does not belong to that user.
    """
    scratch = path.name + ".new"
    with _directory(path.parent) as place:
        if os.geteuid() == 0 and os.fstat(place).st_uid != uid:
            raise EmbeddedError(f"{path.parent} has changed its owner. Choose another directory for the server.")
        remove(place, [scratch])
        with os.fdopen(os.open(scratch, _MAKE, 0o600, dir_fd=place), "w", encoding="utf-8") as file:
            file.write(text)
            _give(file.fileno(), uid, gid)
        os.rename(scratch, path.name, src_dir_fd=place, dst_dir_fd=place)


def open_to_append(path: Path, uid: int) -> int:
    """Open an existing file of the directory's owner or of the user `uid` for writing at its end.

    Raises:
        FileNotFoundError: there is no such file.
        EmbeddedError: it is a link, no regular file, or of another user.
    """
    with _directory(path.parent) as place:
        return _open(place, path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, uid)


def make_directory(path: Path, mode: int, uid: int, gid: int) -> None:
    """Make a directory with this very mode, whatever the umask, and give it to a user.

    Raises:
        FileExistsError: something has that name.
        EmbeddedError: another user has put something else there meanwhile.
    """
    with _directory(path.parent) as place:
        os.mkdir(path.name, 0o700, dir_fd=place)
        with _directory(path, place) as made:
            if os.fstat(made).st_uid != os.geteuid() or os.listdir(made):
                raise EmbeddedError(f"{path} is not the directory just made there. Choose a place of your own.")
            _give(made, uid, gid)
            os.fchmod(made, mode)


def remove(directory: int, names: Iterable[str]) -> None:
    """Remove names from an open directory, as far as they exist."""
    for name in names:
        try:
            os.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            continue


def remove_owned(directory: Path, uid: int, prefix: str) -> None:
    """Remove what has a name with this prefix in a directory of the user `uid`; nothing in one of another user."""
    with _directory(directory) as place:
        if os.fstat(place).st_uid == uid:
            remove(place, [name for name in os.listdir(place) if name.startswith(prefix)])


@contextmanager
def _directory(path: Path, parent: int | None = None) -> Iterator[int]:
    """Open a directory: by its path, or by its name in an open directory, then not through a link."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    fd = os.open(path, flags) if parent is None else os.open(path.name, flags | os.O_NOFOLLOW, dir_fd=parent)
    try:
        yield fd
    finally:
        os.close(fd)


def _open(place: int, path: Path, flags: int, uid: int | None = None) -> int:
    """Open a regular file by its name in an open directory.

    It has to belong to the directory's owner, to `uid` or to this user. Root is no exception: a file of root's in a
    directory of another user is there by that user's will.
    """
    fd = -1
    try:
        fd = os.open(path.name, flags, dir_fd=place)
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            raise _not_plain(path)
        if found.st_uid not in {os.fstat(place).st_uid, uid, os.geteuid() or None}:
            raise EmbeddedError(
                f"{path} belongs to the user with the number {found.st_uid}, and its directory to another. Remove it, "
                "or choose another directory."
            )
    except FileNotFoundError:
        raise
    except BaseException as error:
        if fd >= 0:
            os.close(fd)
        elif _is_special(place, path.name):
            raise _not_plain(path) from error
        raise
    return fd


def _is_special(place: int, name: str) -> bool:
    """Return whether a name that could not be opened stands for a link, pipe or socket."""
    try:
        return not stat.S_ISREG(os.stat(name, dir_fd=place, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _not_plain(path: Path) -> EmbeddedError:
    return EmbeddedError(
        f"{path} is a link or no regular file, and an embedded server follows none: another user could lead it "
        "anywhere. Remove it, or choose another directory."
    )


def _give(fd: int, uid: int, gid: int) -> None:
    """Give what is open to a user. Only root can; what others make stays their own."""
    if os.geteuid() == 0:
        os.fchown(fd, uid, gid)
