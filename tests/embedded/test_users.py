"""Root, ordinary users, and the permissions of what is not ours."""

import os
import pwd
import stat
from pathlib import Path

import psycopg
import pytest

from awa import embedded
from awa.embedded import home, publish
from awa.errors import EmbeddedError
from tests.embedded.children import finish, line, spawn_as


def look(path: Path) -> tuple[int, int, int]:
    """Owner, group and mode."""
    found = path.stat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


@pytest.mark.usefixtures("as_root")
def test_root_runs_the_server_as_an_unprivileged_user(place: Path) -> None:
    with embedded.start(place) as server, psycopg.connect(server.dsn) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
        runs_as = os.stat(f"/proc/{server.pid}").st_uid
        assert runs_as == server.data_dir.stat().st_uid != 0


@pytest.mark.usefixtures("as_root")
@pytest.mark.processes
def test_ordinary_user_runs_the_server_as_itself(ground: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    mine = ground / "mine"
    mine.mkdir(0o700)
    os.chown(mine, nobody.pw_uid, nobody.pw_gid)
    child = spawn_as(nobody, mine / "server")
    pid = int(line(child).split()[0])
    assert os.stat(f"/proc/{pid}").st_uid == nobody.pw_uid
    assert look(mine / "server") == (nobody.pw_uid, nobody.pw_gid, 0o700)
    assert finish(child) == "True"


@pytest.mark.usefixtures("as_root")
@pytest.mark.processes
def test_root_and_the_owner_share_a_server(ground: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    mine = ground / "mine"
    mine.mkdir(0o711)
    os.chown(mine, nobody.pw_uid, nobody.pw_gid)
    child = spawn_as(nobody, mine / "server")
    pid = int(line(child).split()[0])
    with pytest.raises(EmbeddedError, match="others are using it"):
        embedded.start(mine / "server", settings={"max_connections": "7"})
    with embedded.start(mine / "server") as server:
        assert server.pid == pid
        assert finish(child) == "False"
    child = spawn_as(nobody, mine / "server")
    line(child)
    assert finish(child) == "True"


@pytest.mark.usefixtures("as_root")
@pytest.mark.processes
def test_directory_of_another_user_is_refused(place: Path) -> None:
    with embedded.start(place):
        nobody = pwd.getpwnam("nobody")
        child = spawn_as(nobody, place)
        out, err = child.communicate("\n")
        assert out == ""
        assert f"The data directory {place}/data belongs to" in err


@pytest.mark.usefixtures("as_root")
def test_closed_directory_is_named_and_its_permissions_stay(ground: Path) -> None:
    closed = ground / "closed"
    closed.mkdir(0o700)
    before = look(closed)
    with pytest.raises(EmbeddedError, match=rf"who may not enter {closed}\. Choose .*chmod o\+x {closed}"):
        embedded.start(closed / "deep" / "server")
    assert look(closed) == before
    assert list(closed.iterdir()) == []


@pytest.mark.usefixtures("as_root")
def test_existing_private_directory_is_refused_untouched(ground: Path) -> None:
    given = ground / "given"
    given.mkdir(0o700)
    before = look(given)
    with pytest.raises(EmbeddedError, match="may not enter"):
        embedded.start(given)
    assert look(given) == before
    assert list(given.iterdir()) == []


def test_permissions_of_given_directories_stay(ground: Path) -> None:
    given = ground / "given"
    given.mkdir()
    given.chmod(0o751)
    before = look(ground), look(given)
    with embedded.start(given):
        assert (look(ground), look(given)) == before
    assert (look(ground), look(given)) == before


@pytest.mark.usefixtures("as_root")
def test_copies_where_others_may_write_are_not_trusted(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (ground / "cache").mkdir()
    (ground / "cache").chmod(0o777)
    with pytest.raises(PermissionError, match="could be written by others"):
        publish._ensure_place(ground / "cache")


def test_default_place_is_below_the_user_s_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", "/data/of/me")
    assert home.default_path() == Path("/data/of/me/awa/postgres")
    monkeypatch.setenv("XDG_DATA_HOME", "relative/is/ignored")
    monkeypatch.setenv("HOME", "/home/me")
    assert home.default_path() == Path("/home/me/.local/share/awa/postgres")


def test_default_place_of_root_is_open_to_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert embedded.default_path() == Path("/var/lib/awa/postgres")
