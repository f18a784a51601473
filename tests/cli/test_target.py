"""Which database a command is about, and how it fails."""

from collections.abc import Callable
from typing import Any

import pytest

from awa import Client
from tests.cli.conftest import Run

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


def test_a_schema_that_is_too_new_is_refused(awa: Run, connection: Any) -> None:
    connection.execute("insert into awa.schema_version (version) values (9999)")
    for command in (("migrate",), ("job", "list")):
        assert "error: the Awa schema has version 9999" in awa(*command, code=1).stderr
    assert awa("migrate", "--version").stdout.startswith("schema version 9999 (")


@pytest.mark.parametrize("program", [("-m", "awa"), ("-c", "import sys; from awa.cli import main; sys.exit(main())")])
def test_exit_codes_of_the_real_command(
    process: Callable[..., Any], database: str, client: Client, program: tuple[str, ...]
) -> None:
    job = client.insert({})
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
