"""Which database a command is about, and how it fails."""

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from awa import Client
from awa.embedded import url
from tests.cli.conftest import Run
from tests.fixtures.run import places

COMMANDS = [
    ("migrate",),
    ("migrate", "--version"),
    ("job", "list"),
    ("job", "show", "1"),
    ("job", "cancel", "1"),
    ("job", "retry", "1"),
    ("queue", "stats"),
    ("queue", "pause", "q"),
    ("queue", "resume", "q"),
]
NOWHERE = "postgresql://nobody:secret@127.0.0.1:1/nowhere"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_without_a_database_every_command_says_how_to_name_one(awa: Run, command: tuple[str, ...]) -> None:
    done = awa(*command, code=1, env={"DATABASE_URL": ""})
    assert done.stderr == "error: no database is named: give --database-url, or set DATABASE_URL\n"
    assert done.stdout == ""


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_unreachable_server_is_one_line_without_password_or_traceback(awa: Run, command: tuple[str, ...]) -> None:
    done = awa(*command, code=1, env={"DATABASE_URL": NOWHERE})
    assert done.stderr.startswith("error: cannot connect to database nowhere at 127.0.0.1:1 as nobody: ")
    assert (done.stderr.count("\n"), "secret" in done.stderr, done.stdout) == (1, False, "")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_url_that_cannot_be_read_is_not_quoted(awa: Run, command: tuple[str, ...]) -> None:
    done = awa(*command, "--database-url", "postgresql+psycopg://joe:s3cret@h/x", code=1)
    assert done.stderr.startswith("error: the database URL cannot be read: ")
    assert (done.stderr.count("\n"), "s3cret" in done.stderr, done.stdout) == (1, False, "")


@pytest.mark.parametrize("command", COMMANDS[1:], ids=" ".join)
def test_only_migrate_makes_an_embedded_server(awa: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    place = tmp_path / "not there" / "server"
    address = f"embedded://{tmp_path}/not%20there/server?port=auto"
    done = awa(*command, code=1, env={"DATABASE_URL": address})
    assert done.stderr == (
        f"error: there is no embedded server in {place}. Correct the path, or make one: "
        f"awa migrate --database-url '{address}'\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [("job", "list"), ("migrate",)], ids=" ".join)
def test_an_embedded_server_behind_a_link_to_itself_is_refused(
    awa: Run, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    done = awa(*command, code=1, env={"DATABASE_URL": f"embedded://{tmp_path}/loop"})
    assert "Too many levels of symbolic links. Choose another directory" in done.stderr


@pytest.mark.processes
def test_an_embedded_server_that_is_there_is_joined(awa: Run) -> None:
    place = Path(tempfile.mkdtemp(prefix="awa-cli-", dir=places()[0]))
    place.chmod(0o755)
    try:
        for command in (("migrate",), ("job", "list"), ("migrate", "--version")):
            awa("--database-url", f"embedded://{place}/server", *command)
    finally:
        with suppress(KeyError):
            url._joined.pop((os.getpid(), f"{place}/server", None)).stop()
        shutil.rmtree(place)


@pytest.mark.parametrize("command", [each for each in COMMANDS if each[0] != "migrate"], ids=" ".join)
def test_a_database_without_the_schema_is_named_as_that(
    awa: Run, empty_database: str, command: tuple[str, ...]
) -> None:
    done = awa(*command, code=1, env={"DATABASE_URL": empty_database})
    assert done.stderr.startswith("error: this database has no Awa schema. Run `awa migrate`")


def test_the_flag_wins_over_the_environment_before_and_after_the_command(awa: Run, database: str) -> None:
    away = {"DATABASE_URL": NOWHERE}
    assert "0 jobs listed." in awa("--database-url", database, "job", "list", env=away).stdout
    assert "0 jobs listed." in awa("job", "list", "--database-url", database, env=away).stdout
    assert "0 jobs listed." in awa("--database-url", NOWHERE, "job", "list", "--database-url", database).stdout


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_address_is_not_taken_for_another_database(awa: Run, database: str, empty: str) -> None:
    for command in (("--database-url", empty, "job", "list"), ("job", "list", "--database-url", empty)):
        done = awa(*command, code=2, env={"DATABASE_URL": database})
        assert "it is empty; name a database, or leave the option out" in done.stderr
        assert done.stdout == ""


def test_a_schema_that_is_too_new_is_refused(awa: Run, connection: Any) -> None:
    connection.execute("insert into awa.schema_version (version) values (9999)")
    for command in (("migrate",), ("job", "list")):
        assert "error: the Awa schema has version 9999" in awa(*command, code=1).stderr
    assert awa("migrate", "--version").stdout.startswith("schema version 9999 (")


@pytest.mark.parametrize("program", [("-m", "awa"), ("-c", "import sys; from awa.cli import main; sys.exit(main())")])
def test_exit_codes_of_the_real_command(
    process: Callable[..., Any], database: str, client: Client, program: tuple[str, ...]
) -> None:
    job = client.insert({}, kind="dict")
    fine = process(*program, "job", "list", DATABASE_URL=database)
    assert (fine.returncode, fine.stderr) == (0, "")
    refused = process(*program, "job", "retry", str(job.id), DATABASE_URL=database)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == (
        f"error: job {job.id} cannot be retried: it is available; only failed and cancelled jobs can\n"
    )
    assert process(*program, "job", "list").returncode == 1
    assert process(*program, "no-such-command").returncode == 2
    assert process(*program, "job", "list", "--state", "odd", DATABASE_URL=database).returncode == 2
    assert process(*program, "--help").returncode == 0


def test_asking_for_help_loads_no_supervisor(process: Callable[..., Any]) -> None:
    code = (
        "import sys\nfrom awa.cli import main\nmain(['--help'], standalone_mode=False)\n"
        "assert not any(name.startswith('awa.supervisor') or name == 'awa.worker.loop' for name in sys.modules)"
    )
    done = process("-c", code)
    assert done.returncode == 0, done.stderr
