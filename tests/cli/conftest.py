"""Running commands: in this process, and as processes of their own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from awa import Client
from awa.cli import main
from tests.fixtures.processes import ROOT

Run = Callable[..., Result]


@pytest.fixture
def client(database: str) -> Iterator[Client]:
    with Client(database) as made:
        yield made


@pytest.fixture
def awa(database: str) -> Run:
    """Runs `awa …` on the test's database: `awa("job", "list")`. The exit code has to be `code`."""

    def run(*args: object, code: int = 0, env: dict[str, str] | None = None) -> Result:
        done = CliRunner().invoke(main, [str(arg) for arg in args], env={"DATABASE_URL": database, **(env or {})})
        assert done.exit_code == code, done.output
        return done

    return run


@pytest.fixture
def process() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs a command as a process: `process("-m", "awa", "migrate", DATABASE_URL=…)`."""

    def run(*args: str, **env: str) -> "subprocess.CompletedProcess[str]":
        clean = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        return subprocess.run(
            [sys.executable, *args],
            check=False,
            cwd=ROOT,
            env={**clean, **env},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run
