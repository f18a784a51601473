"""The distributions, built once, and environments to install them into."""

import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fixtures.processes import ROOT

PROBE = "msgspec"
"""A small package of ours needs it anyway: whether it can be fetched shows whether there is a package index."""


def run(*command: object, cwd: Path, timeout: float = 300) -> str:
    """Run a command that has to succeed; return what it prints. Nothing of this environment is passed on to Python."""
    env = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "DATABASE_URL"}}
    done = subprocess.run(
        list(map(str, command)), check=False, cwd=cwd, env=env, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


class Distributions:
    """A wheel and an sdist."""

    def __init__(self, directory: Path) -> None:
        (self.wheel,) = directory.glob("*.whl")
        (self.sdist,) = directory.glob("*.tar.gz")


def build(source: Path, into: Path, *targets: str) -> None:
    """Build a source tree with what is installed here: no network."""
    run(sys.executable, "-m", "hatchling", "build", "-d", into, *(f"-t{target}" for target in targets), cwd=source)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """What a release would consist of."""
    directory = tmp_path_factory.mktemp("dist")
    build(ROOT, directory, "wheel", "sdist")
    return Distributions(directory)


@pytest.fixture
def environment(tmp_path: Path) -> Callable[..., Path]:
    """Makes an empty environment with some requirements installed; returns where its programs are."""

    def make(*requirements: object) -> Path:
        home = tmp_path / "environment"
        venv.create(home, with_pip=True)
        python = home / "bin" / "python"
        _require_index(python, tmp_path)
        run(python, "-m", "pip", "install", "--quiet", *requirements, cwd=tmp_path)
        return home / "bin"

    return make


def _require_index(python: Path, directory: Path) -> None:
    """Skip the test where nothing can be fetched."""
    command = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--retries", "1", "--timeout", "10", PROBE]
    probe = subprocess.run(command, check=False, cwd=directory, capture_output=True, text=True)
    if probe.returncode != 0:
        pytest.skip(f"no package index can be reached: pip download {PROBE} failed with {probe.stderr.strip()[-300:]}")
