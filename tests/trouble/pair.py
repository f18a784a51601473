"""Two servers of which one follows the other, byte by byte, until it takes its place."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from awa.embedded.binaries import Binaries
from tests.fixtures.clusters import Cluster
from tests.fixtures.processes import until_dead
from tests.fixtures.waiting import until

SHUT = "-c listen_addresses= -c unix_socket_directories={directory} -c hot_standby=on"
LONG_S = 60.0


class Pair:
    """A primary, and a standby that has everything the primary has said to be committed."""

    def __init__(self, programs: Binaries) -> None:
        self.primary = Cluster(programs).start()
        self.path = self.primary.path.with_name(f"own-{secrets.token_hex(4)}")
        self._is_following = False

    def follow(self) -> None:
        """Copy the primary and have the copy follow it; from then on nothing is committed in one of them alone."""
        given = conninfo_to_dict(self.primary.superuser_dsn)
        data = self.primary.path / "data"
        with (data / "pg_hba.conf").open("a") as access:
            access.write("local  replication  all  trust\n")
        self.primary.run("pg_ctl", "reload", "-D", str(data))
        self._make_room()
        place = ["-h", str(given["host"]), "-p", str(given["port"]), "-U", str(given["user"])]
        self.primary.run("pg_basebackup", "-D", str(self.data), "-R", "-c", "fast", *place)
        options = SHUT.format(directory=self.path)
        log = str(self.path / "log")
        self.primary.run("pg_ctl", "start", "-w", "-D", str(self.data), "-l", log, "-o", options)
        self._is_following = True
        self._wait_for_each_commit()

    def dsn(self, database: str, role: str) -> str:
        """Whichever of the two takes writes."""
        given = conninfo_to_dict(self.primary.superuser_dsn)
        hosts, ports = f"{given['host']},{self.path}", f"{given['port']},{given['port']}"
        return make_conninfo(host=hosts, port=ports, user=role, dbname=database, target_session_attrs="read-write")

    def fail_over(self) -> None:
        """Crash the primary, and have the standby take its place."""
        pid = int((self.primary.path / "data" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGQUIT)
        until_dead(pid)
        self.primary.run("pg_ctl", "promote", "-w", "-D", str(self.data))

    def close(self) -> None:
        """Stop both and remove their files."""
        if self._is_following:
            self.primary.run("pg_ctl", "stop", "-m", "immediate", "-D", str(self.data))
        self.primary.remove()
        shutil.rmtree(self.path, ignore_errors=True)

    @property
    def data(self) -> Path:
        """The standby's data directory."""
        return self.path / "data"

    def _make_room(self) -> None:
        self.path.mkdir(0o700)
        owner = (self.primary.path / "data").stat()
        os.chown(self.path, owner.st_uid, owner.st_gid)

    def _wait_for_each_commit(self) -> None:
        with psycopg.connect(self.primary.superuser_dsn, autocommit=True) as admin:
            admin.execute("alter system set synchronous_standby_names = '*'")
            admin.execute("select pg_reload_conf()")
            follows = "select 1 from pg_stat_replication where sync_state in ('sync', 'quorum')"
            until(lambda: admin.execute(follows).fetchone(), LONG_S, "the standby follows")
