"""The Makefile on a machine whose Python will not do, in a directory of its own."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fixtures.processes import ROOT

MAKEFILE = ROOT / "Makefile"

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")


class Machine:
    """A copy of the Makefile, and the few programs a machine has."""

    def __init__(self, home: Path) -> None:
        self.project = home / "a project"
        self.programs = home / "bin"
        self.project.mkdir()
        self.programs.mkdir()
        shutil.copy(MAKEFILE, self.project)
        (self.project / "pyproject.toml").touch()
        for name in ("make", "awk", "cat", "rm", "sh", "touch"):
            found = shutil.which(name)
            assert found
            (self.programs / name).symlink_to(found)

    def install(self, name: str, script: str) -> None:
        program = self.programs / name
        program.write_text(f"#!{shutil.which('sh')}\n{script}\n")
        program.chmod(0o755)

    def make(self, *args: str) -> "subprocess.CompletedProcess[str]":
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        env = {**inherited, "PATH": str(self.programs)}
        command = [str(self.programs / "make"), *args]
        return subprocess.run(command, check=False, cwd=self.project, env=env, capture_output=True, text=True)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_help_lists_every_target_and_makes_nothing(machine: Machine) -> None:
    done = machine.make()
    assert done.returncode == 0, done.stderr
    targets = re.findall(r"^([a-z]+):", MAKEFILE.read_text(), re.MULTILINE)
    assert {"demo", "test", "lint", "types", "bench", "clean"} <= set(targets)
    assert re.findall(r"^  make (\w+)", done.stdout, re.MULTILINE) == targets
    assert not (machine.project / ".venv").exists()


def test_a_python_too_old_is_refused_by_name(machine: Machine) -> None:
    machine.install("python3", "exit 1")
    done = machine.make("demo")
    assert done.returncode != 0
    assert "error: Python 3.10 or newer is needed" in done.stderr
    assert "make PYTHON=" in done.stderr
    assert not (machine.project / ".venv").exists()


def test_a_python_without_venv_is_refused_with_what_to_install(machine: Machine) -> None:
    machine.install("python3", 'case "$2" in *ensurepip*) exit 1 ;; esac')
    done = machine.make("test")
    assert done.returncode != 0
    assert "error: python3 comes without the venv module" in done.stderr
    assert "python3-venv" in done.stderr
    assert not (machine.project / ".venv").exists()


def test_a_newer_python_is_taken_when_python3_is_too_old(machine: Machine) -> None:
    machine.install("python3", "exit 1")
    machine.install("python3.12", FAKE_PYTHON)
    done = machine.make("demo")
    assert "making .venv with Python 3.12.99" in done.stdout, done.stderr
    assert "ran: -m awa demo" in done.stdout


def test_packages_are_installed_again_only_when_pyproject_has_changed(machine: Machine) -> None:
    machine.install("python3", FAKE_PYTHON)
    assert "installing awa-supervisor[embedded]" in machine.make("demo").stdout
    assert "installing" not in machine.make("demo").stdout
    stamp = machine.project / ".venv" / "installed-embedded"
    os.utime(machine.project / "pyproject.toml", (stamp.stat().st_mtime + 10,) * 2)
    assert "installing" in machine.make("demo").stdout


def test_an_environment_that_was_moved_is_made_anew(machine: Machine) -> None:
    machine.install("python3", FAKE_PYTHON)
    machine.make("demo")
    machine.project = machine.project.rename(machine.project.with_name("moved"))
    done = machine.make("demo")
    assert "making .venv" in done.stdout, done.stderr
    assert "installing" in done.stdout


FAKE_PYTHON = """
PATH=/usr/bin:/bin
case "$1 $2" in
  "--version "*) echo "Python 3.12.99" ;;
  "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;
  "-c "*) ;;
  "-m pip") ;;
  *) echo "ran: $*" ;;
esac
"""
