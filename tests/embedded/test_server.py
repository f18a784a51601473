"""One process and its server."""

import os
import stat
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

import awa
from awa import embedded
from awa.embedded.binaries import find
from awa.errors import EmbeddedError


def ask(dsn: str, statement: str) -> object:
    with psycopg.connect(dsn) as connection:
        row = connection.execute(statement.encode()).fetchone()
        assert row
        return row[0]


def test_first_start_makes_a_durable_cluster(place: Path) -> None:
    with embedded.start(place) as server:
        assert server.version == find().version
        assert server.data_dir == place / "data"
        for name, value in {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "server_encoding": "UTF8",
            "listen_addresses": "",
            "TimeZone": "UTC",
        }.items():
            assert ask(server.dsn, f"show {name}") == value, name


def test_application_connects_as_the_ordinary_owner_of_its_database(place: Path) -> None:
    with embedded.start(place) as server, psycopg.connect(server.dsn) as connection:
        row = connection.execute(
            "select current_user, rolsuper, current_database(), pg_get_userbyid(datdba) "
            "from pg_roles join pg_database on datname = current_database() where rolname = current_user"
        ).fetchone()
        assert row == ("awa", False, "awa", "awa")
        assert ask(server.superuser_dsn, "select rolsuper from pg_roles where rolname = current_user") is True


RIGHTS = "select array[rolcreatedb, rolcreaterole, rolsuper] from pg_roles where rolname = current_user"


def test_its_role_makes_databases_and_roles_on_a_server_made_before_too(place: Path) -> None:
    with embedded.start(place) as server:
        assert ask(server.dsn, RIGHTS) == [True, True, False]
        with psycopg.connect(server.superuser_dsn, autocommit=True) as admin:
            admin.execute("alter role awa nocreatedb nocreaterole")
        assert ask(server.dsn, RIGHTS) == [False, False, False]
    with embedded.start(place) as server:
        assert ask(server.dsn, RIGHTS) == [True, True, False]
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute("create database test_shop")
        with awa.Client(server.dsn) as client:
            client.migrate(roles=True)
        assert ask(server.dsn, "select count(*) from pg_roles where rolname like 'awa\\_%'") == 4


def test_data_survives_a_stop(place: Path) -> None:
    with embedded.start(place) as server, psycopg.connect(server.dsn) as connection:
        connection.execute("create table kept as select 7 as n")
    assert not server.is_running()
    with embedded.start(place) as server:
        assert ask(server.dsn, "select n from kept") == 7


def test_only_the_user_of_the_server_can_enter(place: Path) -> None:
    with embedded.start(place) as server:
        assert stat.S_IMODE(server.data_dir.stat().st_mode) == 0o700
        assert stat.S_IMODE(place.stat().st_mode) & 0o066 == 0
        assert server.data_dir.stat().st_uid != 0


def test_strict_umask_does_not_close_it_to_the_server(ground: Path) -> None:
    before = os.umask(0o077)
    try:
        with embedded.start(ground / "a" / "b" / "server") as server:
            assert ask(server.dsn, "select 1") == 1
    finally:
        os.umask(before)
        embedded.stop(ground / "a" / "b" / "server")


def test_stopping_twice_is_nothing(place: Path) -> None:
    server = embedded.start(place)
    assert server.stop() is True
    assert server.stop() is False


def test_two_uses_in_one_process_share_the_server(place: Path) -> None:
    first, second = embedded.start(place), embedded.start(place)
    assert first.pid == second.pid
    assert first.stop() is False
    assert ask(second.dsn, "select 1") == 1
    assert second.stop() is True


def test_kept_server_goes_on_until_it_is_stopped(place: Path) -> None:
    with embedded.start(place, keep=True) as server:
        pass
    assert server.is_running()
    assert embedded.stop(place) is True
    assert not server.is_running()
    assert embedded.stop(place) is False


def test_stop_of_a_used_server_is_refused(place: Path) -> None:
    with embedded.start(place) as server:
        with pytest.raises(EmbeddedError, match="in use"):
            embedded.stop(place)
        assert ask(server.dsn, "select 1") == 1


def test_settings_reach_the_server(place: Path) -> None:
    with embedded.start(place, settings={"max_connections": "17", "cluster_name": r"it's \ here"}) as server:
        assert ask(server.superuser_dsn, "show max_connections") == "17"
        assert ask(server.superuser_dsn, "show cluster_name") == r"it's \ here"


def test_settings_a_used_server_lacks_are_refused_and_of_an_unused_one_replaced(place: Path) -> None:
    with embedded.start(place, settings={"max_connections": "17"}, keep=True):
        embedded.start(place, settings={"max_connections": "17"}).stop()
        with pytest.raises(EmbeddedError, match=r"runs without the setting max_connections = '18'.*end those first"):
            embedded.start(place, settings={"max_connections": "18"})
    with embedded.start(place, settings={"max_connections": "18"}) as server:
        assert ask(server.superuser_dsn, "show max_connections") == "18"


def test_settings_of_the_life_cycle_are_refused(place: Path) -> None:
    with pytest.raises(EmbeddedError, match="listen_addresses"):
        embedded.start(place, settings={"listen_addresses": "*"})
    assert not place.exists()


def test_free_port_is_found_when_asked_for(place: Path) -> None:
    with embedded.start(place, port=0) as server:
        assert urlsplit(server.dsn).hostname == "127.0.0.1"
        assert ask(server.dsn, "select host(inet_server_addr())") == "127.0.0.1"
        with embedded.start(place) as second:
            assert "@/" in second.dsn, "who asks for no port goes through the socket"


def test_tcp_needs_the_password(place: Path) -> None:
    with embedded.start(place, port=0) as server:
        port = urlsplit(server.dsn).port
        for role in ("awa", "postgres"):
            with pytest.raises(psycopg.OperationalError, match="password"):
                psycopg.connect(f"postgresql://{role}:guess@127.0.0.1:{port}/awa")
        assert stat.S_IMODE((place / "password").stat().st_mode) == 0o600


def test_port_a_used_server_lacks_is_refused(place: Path) -> None:
    with embedded.start(place), pytest.raises(EmbeddedError, match="has no TCP port.*end those first"):
        embedded.start(place, port=0)


def test_long_path_gets_a_short_socket_directory(ground: Path) -> None:
    place = ground / ("long" * 30)
    with embedded.start(place) as server:
        assert ask(server.dsn, "select 1") == 1
        sockets = Path(str(ask(server.superuser_dsn, "show unix_socket_directories")).strip('"'))
        assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
        assert sockets.stat().st_uid == server.data_dir.stat().st_uid
    assert not sockets.exists()


def test_path_with_odd_characters(ground: Path) -> None:
    with embedded.start(ground / "a 'b', \"c\" % ü, $HOME `id`") as server:
        assert ask(server.dsn, "select 1") == 1
