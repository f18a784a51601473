"""`embedded://` where a DSN is expected."""

import os
import signal
from pathlib import Path

import psycopg
import pytest

from awa.database import dsn
from awa.embedded import postmaster, url
from awa.errors import EmbeddedError
from tests.embedded.children import finish, line, spawn

FOREGROUND = """
    import sys
    from awa import embedded
    embedded.run_foreground(sys.argv[1], announce=lambda dsn: print(dsn, flush=True))
"""


@pytest.mark.parametrize(
    ("text", "path", "port"),
    [
        ("embedded://", None, None),
        ("embedded:///", None, None),
        ("embedded:///var/lib/x", "/var/lib/x", None),
        ("embedded:///with%20space", "/with space", None),
        ("embedded://?port=auto", None, 0),
        ("embedded:///x?port=5433", "/x", 5433),
    ],
)
def test_parts(text: str, path: str | None, port: int | None) -> None:
    assert url.parse(text) == (path, port)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("embedded://relative/path", "three slashes, as in embedded:///relative/path"),
        ("embedded:///x?port=many", "port 'many'"),
        ("embedded:///x?port=70000", "1 to 65535"),
        ("embedded:///x?speed=high", "unknown option 'speed'"),
        ("embedded:///x%00y", r"names a path with the character U+0000"),
        ("embedded:///x#top", "unknown option 'top'"),
        ("postgresql://", "does not begin with embedded://"),
    ],
)
def test_mistakes_are_explained(text: str, told: str) -> None:
    with pytest.raises(EmbeddedError) as caught:
        url.parse(text)
    assert told in str(caught.value)


@pytest.mark.parametrize("text", ["postgresql://u@h/d", "host=h dbname=d", "", "postgres:///d?host=/tmp"])
def test_other_addresses_come_back_unchanged(text: str) -> None:
    assert dsn.resolve(text) == text


@pytest.mark.processes
def test_resolved_server_lives_as_long_as_the_process(place: Path) -> None:
    script = """
        import sys
        from awa.database.dsn import resolve
        url = "embedded://" + sys.argv[1]
        first = resolve(url)
        assert resolve(url) == first
        print(first, flush=True)
        sys.stdin.readline()
    """
    child = spawn(script, place)
    address = line(child)
    psycopg.connect(address).close()
    finish(child)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(address)


@pytest.mark.processes
def test_server_which_was_stopped_from_outside_is_started_again(place: Path) -> None:
    script = """
        import os, sys, psycopg
        from awa.embedded import postmaster, url
        address = "embedded://" + sys.argv[1]
        url.resolve(address)
        (server,) = url._joined.values()
        os.kill(server.pid, 3)
        while server.is_running():
            pass
        with psycopg.connect(url.resolve(address)) as connection:
            print(connection.execute("select 1").fetchone())
    """
    out, err = spawn(script, place).communicate(timeout=60)
    assert (out.strip(), err) == ("(1,)", "")


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_foreground_server_stops_cleanly(place: Path, number: signal.Signals) -> None:
    child = spawn(FOREGROUND, place)
    address = line(child)
    psycopg.connect(address).close()
    child.send_signal(number)
    assert child.communicate(timeout=30) == ("", "")
    assert child.returncode == 0
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(address)


@pytest.mark.processes
def test_foreground_tells_when_the_server_ends_by_itself(place: Path) -> None:
    child = spawn(FOREGROUND, place)
    line(child)
    running = postmaster.read(place / "data")
    assert running
    os.kill(running.pid, signal.SIGQUIT)
    _, err = child.communicate(timeout=30)
    assert child.returncode == 1
    assert f"The server in {place} has ended" in err
