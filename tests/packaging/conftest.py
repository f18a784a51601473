"""The distributions, built once, and environments to install them into."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.fixtures.processes import ROOT


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


class Environment:
    """A virtual environment with what an installed distribution says it needs, taken from the one the tests run in.

    Nothing is fetched, and what is not declared is not there.
    """

    def __init__(self, home: Path) -> None:
        venv.create(home, with_pip=False)
        self.programs = home / "bin"
        self._home = home
        (self._packages,) = home.glob("lib/python*/site-packages")

    def install(self, wheel: Path, *extras: str) -> None:
        """Install a wheel, and link what it needs with these extras."""
        self._pip("install", "--quiet", "--no-deps", "--no-index", wheel)
        (installed,) = distributions(name="awa-supervisor", path=[str(self._packages)])
        for needed in requirements(installed, frozenset(extras)):
            self._link(needed)
        self._pip("check")

    def _link(self, needed: Distribution) -> None:
        for file in needed.files or ():
            place = self._packages / file
            if ".." not in file.parts:  # programs in bin/
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(file.locate())

    def _pip(self, *arguments: object) -> None:
        run(sys.executable, "-m", "pip", "--python", self.programs / "python", *arguments, cwd=self._home)


def requirements(root: Distribution, extras: frozenset[str]) -> list[Distribution]:
    """Return all that a distribution needs with these extras, and what those need in turn, as installed here."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    queue = [(root, extras)]
    while queue:
        needy, chosen = queue.pop()
        for requirement in map(Requirement, needy.requires or ()):
            name, more = canonicalize_name(requirement.name), frozenset(requirement.extras)
            if (name, more) in seen or not _applies(requirement, chosen):
                continue
            seen.add((name, more))
            found[name] = distribution(name)
            queue.append((found[name], more))
    return list(found.values())


def _applies(requirement: Requirement, extras: frozenset[str]) -> bool:
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in extras | {""})


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """An empty environment."""
    return Environment(tmp_path / "environment")
