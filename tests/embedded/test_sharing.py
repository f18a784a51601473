"""Several processes and one server, and processes that do not live to the end."""

import os
import signal
import subprocess
from pathlib import Path

import psutil
import psycopg
import pytest

from awa import embedded
from awa.embedded import postmaster
from awa.embedded.home import Home
from tests.embedded.children import USES_SERVER, finish, kill, line, spawn
from tests.fixtures.waiting import until

pytestmark = pytest.mark.processes


def answers(dsn: str) -> bool:
    with psycopg.connect(dsn) as connection:
        return connection.execute("select 1").fetchone() == (1,)


def exists(pid: int) -> bool:
    """Whether a process runs. One that has ended, and whose status nobody has asked for, does not."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_ten_processes_starting_at_once_share_one_server(place: Path) -> None:
    children = [spawn(USES_SERVER, place) for _ in range(10)]
    told = {line(child) for child in children}
    assert len(told) == 1
    ended = [finish(child) for child in children]
    assert ended == ["False"] * 9 + ["True"], "only the last one to leave stops it"
    pid = int(told.pop().split()[0])
    until(lambda: not exists(pid))


def test_server_outlives_the_process_which_started_it_while_others_use_it(place: Path) -> None:
    child = spawn(USES_SERVER, place)
    pid, dsn = line(child).split()
    with embedded.start(place) as server:
        assert finish(child) == "False"
        assert (server.pid, server.dsn) == (int(pid), dsn)
        assert answers(dsn)


def test_server_of_a_killed_process_is_adopted_and_stopped(place: Path) -> None:
    child = spawn(USES_SERVER, place)
    pid = int(line(child).split()[0])
    kill(child)
    server = embedded.start(place)
    assert server.pid == pid
    assert answers(server.dsn)
    assert server.stop() is True
    until(lambda: not exists(pid))


def test_killed_process_is_no_user_any_more(place: Path) -> None:
    child = spawn(USES_SERVER, place)
    line(child)
    with embedded.start(place) as server:
        kill(child)
        assert server.stop() is True


def test_killed_server_is_started_again_with_its_data(place: Path) -> None:
    with embedded.start(place) as server:
        with psycopg.connect(server.dsn) as connection:
            connection.execute("create table kept as select 7 as n")
        os.kill(server.pid, signal.SIGKILL)
        until(lambda: not server.is_running(), message="the killed server is seen to be gone")
    with embedded.start(place) as again, psycopg.connect(again.dsn) as connection:
        assert connection.execute("select n from kept").fetchone() == (7,)


def test_process_number_of_a_killed_server_may_belong_to_a_stranger(place: Path) -> None:
    with embedded.start(place, keep=True) as server:
        owner = server.data_dir.stat()
    os.kill(server.pid, signal.SIGKILL)
    until(lambda: not server.is_running(), message="the killed server is seen to be gone")
    switch = {"user": owner.st_uid, "group": owner.st_gid} if os.geteuid() == 0 else {}
    stranger = subprocess.Popen(["sleep", "600"], cwd="/", **switch)  # type: ignore[call-overload]
    try:
        note = server.data_dir / "postmaster.pid"
        note.write_text(note.read_text().replace(str(server.pid), str(stranger.pid), 1))
        with embedded.start(place) as again:
            assert answers(again.dsn)
        assert stranger.poll() is None, "it was left alone"
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("note", ["", "garbage\n", "1234567\n/half\n"])
def test_half_written_note_of_a_server_is_no_obstacle(place: Path, note: str) -> None:
    with embedded.start(place) as server:
        pass
    path = server.data_dir / "postmaster.pid"
    path.write_text(note)
    os.chown(path, server.data_dir.stat().st_uid, -1)
    with embedded.start(place) as again:
        assert answers(again.dsn)


def test_cluster_half_made_by_a_killed_process_is_made_anew(place: Path) -> None:
    place.mkdir(0o711)
    (place / "start.lock").touch()
    (place / "data.new.1").mkdir()
    (place / "data.new.1" / "PG_VERSION").write_text("18\n")
    with embedded.start(place) as server:
        assert answers(server.dsn)
    assert not list(place.glob("data.new*"))


def test_process_killed_while_it_starts_leaves_nothing_in_the_way(place: Path) -> None:
    for moment in ("data.new.*", "data", "data/postmaster.pid"):
        child = spawn(USES_SERVER, place)
        until(lambda: list(place.glob(moment)), message=f"{moment} appears")  # noqa: B023 - called before the next round
        kill(child)
    with embedded.start(place) as server:
        assert answers(server.dsn)


def test_forked_child_does_not_stop_the_server_of_its_parent(place: Path) -> None:
    script = """
        import os, sys, psycopg
        from awa import embedded
        server = embedded.start(sys.argv[1])
        child = os.fork()
        if child == 0:
            assert server.stop() is False
            sys.exit()   # runs what is registered with atexit
        assert os.waitpid(child, 0)[1] == 0
        psycopg.connect(server.dsn).close()
        print(server.is_running(), server.stop())
    """
    out, err = spawn(script, place).communicate(timeout=60)
    assert (out.strip(), err) == ("True True", "")


def test_forked_child_which_ends_by_itself_does_not_stop_the_server(place: Path) -> None:
    script = """
        import os, sys
        from awa import embedded
        dsn = embedded.resolve("embedded://" + sys.argv[1])
        if child := os.fork():
            assert os.waitpid(child, 0)[1] == 0
            import psycopg
            print(psycopg.connect(dsn).execute("select 1").fetchone())
        else:
            assert embedded.resolve("embedded://" + sys.argv[1]) == dsn
    """
    out, err = spawn(script, place).communicate(timeout=60)
    assert (out.strip(), err.replace("\n", "")) == ("(1,)", "")
    assert postmaster.settled(Home(place)) is None, "the parent has stopped it at its end"


def test_exit_without_stop_leaves_the_server(place: Path) -> None:
    out, err = spawn(
        "from awa import embedded; import sys; print(embedded.start(sys.argv[1]).pid)", place
    ).communicate()
    assert err == ""
    until(lambda: not exists(int(out)))
