"""What a shell or a program may hand to a command by mistake: no traceback, and nothing that steers the terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from awa import Client
from tests.cli.conftest import Run
from tests.fixtures.processes import ROOT

DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("migrate", "--version", "1" * 5000), "this release brings a database to version"),
        (("job", "insert", "k", "--args", DEEP), "--args is nested too deeply to be read; flatten it"),
        (("job", "insert", "k", "--metadata", DEEP), "--metadata is nested too deeply to be read; flatten it"),
        (("job", "show", "1", "a\x1b]0;x\x07"), "extra argument (a\\x1b]0;x\\x07)"),
        (("job", "show", "\x1b[31m"), "\\x1b[31m"),
        (("queue", "\x1b[31mstats"), "\\x1b[31mstats"),
        (("--\x1b[31m",), "\\x1b[31m"),
    ],
)
def test_hostile_arguments_are_usage_errors(awa: Run, command: tuple[str, ...], told: str) -> None:
    done = awa(*command, code=2)
    assert told in done.stderr
    assert not {"\x1b", "\x07"} & set(done.output)


def test_a_question_with_standard_input_closed_is_refused(database: str, client: Client) -> None:
    client.insert({}, kind="k", queue="a")
    command = f"{sys.executable} -m awa queue drain a <&-"
    done = _shell(command, database)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert done.stderr.endswith("There is no terminal to ask at: add --yes\n")
    assert [stat.available for stat in client.queue_stats()] == [1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
@pytest.mark.parametrize("option", ["", "--json"])
def test_output_that_cannot_be_written_is_one_line(database: str, option: str) -> None:
    done = _shell(f"{sys.executable} -m awa queue stats {option} >/dev/full", database)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert done.stderr.startswith("error: the output cannot be written: No space left on device. ")


def test_the_variable_that_only_flask_reads_is_named(awa: Run, database: str) -> None:
    told = awa("job", "list", code=1, env={"DATABASE_URL": "", "AWA_DATABASE_URL": database}).stderr
    assert told == (
        "error: no database is named: give --database-url, or set DATABASE_URL "
        "(AWA_DATABASE_URL is set, and is read by Flask applications only)\n"
    )


def _shell(command: str, database: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", command],
        check=False,
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
