"""What another user plants in a server's directory: links to the files of root, pipes, other users' files."""

import os
import pwd
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from awa import embedded
from awa.errors import EmbeddedError

SECRET = "18 root only\n"
_listeners: list[Callable[[str, tuple[object, ...]], None]] = []


def _tell(event: str, arguments: tuple[object, ...]) -> None:
    for listener in tuple(_listeners):
        listener(event, arguments)


sys.addaudithook(_tell)  # for as long as the process lives: Python has no way to remove one


@pytest.fixture
def secret(ground: Path) -> Iterator[Path]:
    """A file only its owner can read; afterwards it has to be what it was."""
    path = ground / "secret"
    path.write_text(SECRET)
    path.chmod(0o600)
    before = path.stat()
    yield path
    after = path.stat()
    assert path.read_text() == SECRET
    assert (after.st_uid, after.st_gid, after.st_mode, after.st_nlink) == (
        before.st_uid,
        before.st_gid,
        before.st_mode,
        before.st_nlink,
    )


@pytest.fixture
def planter(place: Path, secret: Path) -> Iterator[set[str]]:
    """Put a link to the secret under each name in `data` just before this process opens, chmods or chowns it.

    This is what a hostile user of the server can do, with luck in a race, here every time.
    """
    planted: set[str] = set()

    def plant(event: str, arguments: tuple[object, ...]) -> None:
        if event not in ("open", "os.chmod", "os.chown") or not isinstance(arguments[0], str):
            return
        name = os.path.basename(arguments[0])
        for data in (place / "data", *place.glob("data.new.*")):
            path = data / name
            if (path.is_file() or name.endswith(".new")) and not path.is_symlink():
                path.unlink(missing_ok=True)
                path.symlink_to(secret)
                planted.add(name)

    _listeners.append(plant)
    yield planted
    _listeners.remove(plant)


@pytest.mark.usefixtures("as_root")
def test_root_writes_through_no_link_that_appears_while_a_cluster_is_made(place: Path, planter: set[str]) -> None:
    with pytest.raises(EmbeddedError):
        embedded.start(place)
    assert planter, "at least one name was taken"


@pytest.mark.usefixtures("as_root")
def test_root_writes_through_no_link_that_appears_while_a_server_is_started(
    place: Path, request: pytest.FixtureRequest
) -> None:
    embedded.start(place).stop()
    planted = request.getfixturevalue("planter")
    for _ in range(2):  # each round meets the links of the one before
        with pytest.raises(EmbeddedError):
            embedded.start(place)
    assert planted


@pytest.mark.parametrize("name", ["PG_VERSION", "postmaster.pid", "awa.conf"])
def test_link_in_the_data_directory_is_named_and_not_read(place: Path, secret: Path, name: str) -> None:
    settings = {"max_connections": "17"}
    with embedded.start(place, settings=settings) as server:
        if name == "PG_VERSION" or name == "postmaster.pid":
            server.stop()
        path = server.data_dir / name
        path.unlink(missing_ok=True)
        path.symlink_to(secret)
        with pytest.raises(EmbeddedError) as caught:
            embedded.start(place, settings=settings)
        assert f"{path} is a link or no regular file" in str(caught.value)
        assert "root only" not in str(caught.value)
        path.unlink()


def test_pipe_in_place_of_the_note_does_not_hold_the_start_up(place: Path) -> None:
    with embedded.start(place) as server:
        pass
    note = server.data_dir / "postmaster.pid"
    os.mkfifo(note)
    with pytest.raises(EmbeddedError, match=rf"{note} is a link or no regular file"):
        embedded.start(place)
    note.unlink()


@pytest.mark.parametrize("number", ["-1", "1", "0", "99999999999999999999", "٣"])
def test_impossible_process_number_in_the_note_is_half_a_note(place: Path, number: str) -> None:
    with embedded.start(place) as server:
        pass
    note = server.data_dir / "postmaster.pid"
    note.write_text(f"{number}\n{server.data_dir}\n1\n5432\n/tmp\n\n0\nready\n")
    os.chown(note, server.data_dir.stat().st_uid, -1)
    embedded.start(place).stop()


@pytest.mark.usefixtures("as_root")
def test_log_in_a_directory_of_another_user_is_not_followed(ground: Path, secret: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    home = ground / "home"
    embedded.start(home).stop()
    for path in (home, *(home / name for name in ("start.lock", "users.lock"))):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    for directory, names, files in os.walk(home / "data"):
        for path in (Path(directory), *(Path(directory, name) for name in (*names, *files))):
            os.chown(path, nobody.pw_uid, nobody.pw_gid, follow_symlinks=False)
    (home / "server.log").unlink()
    (home / "server.log").symlink_to(secret)
    with pytest.raises(EmbeddedError, match=r"server\.log is a link"):
        embedded.start(home)
    (home / "server.log").unlink()
    os.link(secret, home / "server.log")
    with pytest.raises(EmbeddedError, match=r"server\.log is a link"):
        embedded.start(home)
    (home / "server.log").unlink()


@pytest.mark.usefixtures("as_root")
def test_root_starts_no_server_of_a_third_user_for_another(ground: Path) -> None:
    server = ground / "server"
    embedded.start(server).stop()
    nobody = pwd.getpwnam("nobody")
    lure = ground / "lure"
    lure.mkdir(0o755)
    (lure / "data").symlink_to(server / "data")
    os.chown(lure, 12345, 12345)
    os.chown(lure / "data", 12345, 12345, follow_symlinks=False)
    with pytest.raises(EmbeddedError, match="who could have root start any server by a link"):
        embedded.start(lure)
    os.chown(lure, nobody.pw_uid, nobody.pw_gid)
    assert list(lure.iterdir()) == [lure / "data"]


@pytest.mark.usefixtures("as_root")
def test_directory_that_is_exchanged_while_it_is_made_is_not_opened_to_others(
    place: Path, ground: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = ground / "closed"
    closed.mkdir(0o700)
    (closed / "diary").touch()
    mkdir = os.mkdir

    def exchanged(path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        mkdir(path, mode, dir_fd=dir_fd)
        if path == place.name:
            os.rmdir(path, dir_fd=dir_fd)
            os.rename(closed, place)

    monkeypatch.setattr(os, "mkdir", exchanged)
    with pytest.raises(EmbeddedError, match="is not the directory just made there"):
        embedded.start(place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
