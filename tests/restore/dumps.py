"""Moving a database with PostgreSQL's own tools."""

import subprocess
from pathlib import Path

import psycopg

from awa.embedded.binaries import Binaries, find_system
from tests.restore.conftest import programs


def move(source: str, target: str, folder: Path, *, plain: bool = False) -> None:
    """Dump one database and restore it into another, empty one, as its ordinary owner."""
    tools = tools_for(target)
    dump = folder / "dump"
    form = "plain" if plain else "custom"
    _run(tools.program("pg_dump"), f"--format={form}", "--no-owner", f"--file={dump}", "--dbname", source)
    if plain:
        _run(tools.program("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--file={dump}", target)
    else:
        _run(tools.program("pg_restore"), "--exit-on-error", "--no-owner", "--dbname", target, str(dump))


def tools_for(target: str) -> Binaries:
    """The programs of the server to restore into: newer ones write settings it does not know."""
    newest: Binaries = programs()
    with psycopg.connect(target) as connection:
        major = connection.info.server_version // 10000
    found = newest if major == newest.major else find_system(major)
    assert found is not None
    return found


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
