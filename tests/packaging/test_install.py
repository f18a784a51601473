"""Installed into an empty environment, from somewhere that has nothing to do with this project, it works."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from awa.version import __version__
from tests.fixtures.processes import ROOT
from tests.packaging.conftest import Distributions, Environment, run

pytestmark = [pytest.mark.slow, pytest.mark.processes]

NEED_EXTRAS = ("awa.integrations", "awa.testing", "awa.web")
IMPORT_ALL = f"""
import awa, importlib, pkgutil
needs_extra = lambda name: name.startswith({NEED_EXTRAS!r})
for module in pkgutil.walk_packages(awa.__path__, "awa.", onerror=lambda name: needs_extra(name) or print(name)):
    if not needs_extra(module.name) and not module.name.endswith(".__main__"):
        importlib.import_module(module.name)
"""
WHERE = (
    "import awa.database.statements as s; print(s.__file__); print(s.root()); print(len(s.statement('claim/claim')))"
)


EDITABLE = "import hatchling.build, sys; print(hatchling.build.build_editable(sys.argv[1]))"
"""What `pip install --editable` asks of the project, without an environment of its own for the asking."""


def editable(into: Path) -> Path:
    """Make the wheel that an editable install consists of."""
    return into / run(sys.executable, "-c", EDITABLE, into, cwd=ROOT).strip()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    path = tmp_path / "else where"
    path.mkdir()
    return path


def test_the_wheel_runs_the_demo(built: Distributions, environment: Environment, elsewhere: Path) -> None:
    environment.install(built.wheel, "embedded")
    programs = environment.programs
    assert run(programs / "awa", "--version", cwd=elsewhere) == f"awa, version {__version__}\n"
    assert "--app" in run(programs / "awa-supervisor", "--help", cwd=elsewhere)
    assert "create schema awa" in run(programs / "awa", "migrate", "--sql", cwd=elsewhere)
    file, statements, _ = run(programs / "python", "-c", WHERE, cwd=elsewhere).splitlines()
    assert Path(file).is_relative_to(programs.parent)
    assert Path(statements).is_relative_to(programs.parent)
    report = json.loads(run(programs / "awa", "demo", "--files", 50, "--processes", 2, "--json", cwd=elsewhere))
    assert report["holds"]
    assert (report["rows"], report["jobs_lost"], report["rows_written_twice"]) == (50, 0, 0)


def test_an_editable_install_reads_the_statements_in_place(
    environment: Environment, elsewhere: Path, tmp_path: Path
) -> None:
    environment.install(editable(tmp_path))
    programs = environment.programs
    file, statements, length = run(programs / "python", "-c", WHERE, cwd=elsewhere).splitlines()
    assert Path(file) == ROOT / "awa" / "database" / "statements.py"
    assert Path(statements) == ROOT / "sql"
    assert int(length) > 100
    assert run(programs / "awa", "--version", cwd=elsewhere) == f"awa, version {__version__}\n"
    assert run(programs / "python", "-c", IMPORT_ALL, cwd=elsewhere) == ""  # without any extra
