"""What a user reads when there is no server to be had; and nothing half-made stays."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from awa import embedded
from awa.embedded import binaries
from awa.embedded.binaries import find_system
from awa.embedded.failures import explain
from awa.errors import EmbeddedError


@pytest.fixture
def small_disk(ground: Path) -> Iterator[Path]:
    """A file system with room for half a cluster."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    mounted = ground / "small"
    mounted.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20m,mode=755", "awa-test", str(mounted)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.decode().strip()}")
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)


def test_full_disk_is_named_and_nothing_stays(small_disk: Path) -> None:
    with pytest.raises(EmbeddedError, match=rf"(?s)failed in {small_disk}/server: the disk is full\..*PostgreSQL said"):
        embedded.start(small_disk / "server")
    assert list(small_disk.iterdir()) == []


def test_disk_filled_after_the_cluster_was_made(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    with embedded.start(small_disk / "server", settings={"max_wal_size": "32MB"}) as server:
        data = server.data_dir
    with open(small_disk / "fill", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(small_disk).free)
    with pytest.raises(EmbeddedError, match="the disk is full"):
        embedded.start(small_disk / "server")
    (small_disk / "fill").unlink()
    assert data.exists(), "what was there before stays"
    embedded.start(small_disk / "server").stop()


def test_data_directory_of_another_major_version(place: Path) -> None:
    system, mine = find_system(), binaries.find()
    if system is None or system.major == mine.major:
        pytest.skip("no server of another major version is installed")
    with embedded.start(place, bin_dir=system.directory):
        pass
    with pytest.raises(EmbeddedError) as caught:
        embedded.start(place)
    told = f"was made by PostgreSQL {system.major}, the binaries are {mine.version}"
    assert told in str(caught.value)
    assert f"AWA_PG_BIN={system.directory}" in str(caught.value)
    with embedded.start(place, bin_dir=system.directory) as server:
        assert server.version == system.version


def test_directory_with_something_else_in_it(place: Path) -> None:
    place.mkdir()
    (place / "thesis.txt").write_text("all my work")
    with pytest.raises(EmbeddedError, match=r"is not empty .*\(it has thesis.txt\)"):
        embedded.start(place)
    assert [entry.name for entry in place.iterdir()] == ["thesis.txt"]


def test_data_directory_made_by_somebody_else(place: Path) -> None:
    place.mkdir()
    (place / "PG_VERSION").write_text("15\n")
    with pytest.raises(EmbeddedError, match="made by PostgreSQL 15, but not by Awa"):
        embedded.start(place)


def test_fresh_volume_is_no_obstacle(place: Path) -> None:
    (place / "lost+found").mkdir(parents=True)
    embedded.start(place).stop()


def test_file_in_place_of_the_directory(place: Path) -> None:
    place.write_text("a file")
    with pytest.raises(EmbeddedError, match=f"Cannot use {place} "):
        embedded.start(place)


def test_directory_that_cannot_be_made(ground: Path) -> None:
    with pytest.raises(EmbeddedError, match="Cannot use /proc/nowhere/server"):
        embedded.start("/proc/nowhere/server")


def test_path_too_long(ground: Path) -> None:
    with pytest.raises(EmbeddedError, match="bytes, at most 900"):
        embedded.start(ground.joinpath(*["directory"] * 100))
    assert list(ground.iterdir()) == []


def test_name_too_long(ground: Path) -> None:
    with pytest.raises(EmbeddedError, match="File name too long"):
        embedded.start(ground / "made" / ("x" * 300))
    assert list(ground.iterdir()) == []


def test_port_in_use_is_named_and_nothing_stays(place: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EmbeddedError, match=f"port {port} is in use"):
            embedded.start(place, port=port)


def test_setting_the_server_does_not_know(place: Path) -> None:
    with pytest.raises(EmbeddedError, match=r'(?s)a setting is not accepted.*"colour"'):
        embedded.start(place, settings={"colour": "blue"})
    with pytest.raises(EmbeddedError, match="a setting is not accepted"):
        embedded.start(place, settings={"max_connections": "many"})
    embedded.start(place).stop()


def test_foreign_socket_directory_is_refused(ground: Path) -> None:
    place = ground / ("long" * 30)
    with embedded.start(place) as server:
        sockets = server._running.sockets
    sockets.mkdir(0o755)
    try:
        with pytest.raises(
            EmbeddedError, match=f"The socket directory {sockets} exists, and is not a private directory"
        ):
            embedded.start(place)
    finally:
        sockets.rmdir()


def test_no_server_anywhere(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWA_PG_BIN", raising=False)
    monkeypatch.setattr(binaries, "find_wheel", lambda: None)
    monkeypatch.setattr(binaries, "find_system", lambda: None)
    with pytest.raises(EmbeddedError, match=r"pip install 'awa-supervisor\[embedded\]'.* AWA_PG_BIN .*DSN"):
        embedded.start(place)
    assert not place.exists()


def test_variable_names_a_directory_without_a_server(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWA_PG_BIN", "/usr/share")
    with pytest.raises(
        EmbeddedError, match=r"\$AWA_PG_BIN is /usr/share, which has no program initdb and no program pos"
    ):
        embedded.start(place)


def test_variable_comes_before_the_wheel(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = binaries.find()
    copied = ground / "programs"
    copied.mkdir()
    for name in binaries.PROGRAMS:
        (copied / name).symlink_to(found.directory / name)
    monkeypatch.setenv("AWA_PG_BIN", str(copied))
    assert binaries.find() == binaries.Binaries(copied, found.version)


def test_removed_directory_does_not_break_the_stop(place: Path) -> None:
    server = embedded.start(place)
    os.kill(server.pid, 3)  # its directory goes: let the server end at once
    shutil.rmtree(place, ignore_errors=True)
    assert server.stop() is False


def test_what_a_fresh_server_takes_is_said_only_where_one_was_being_made(tmp_path: Path) -> None:
    full = "could not write: No space left on device"
    assert "A fresh server takes about 60 MB; " in str(explain("Making the data directory", tmp_path, full))
    (tmp_path / "data").mkdir()
    told = str(explain("Starting the server", tmp_path, full))
    assert "the disk is full. " in told
    assert "fresh server" not in told
