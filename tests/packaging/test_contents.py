"""What is in the wheel and in the sdist."""

import tarfile
import zipfile
from configparser import ConfigParser
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from awa.version import __version__
from tests.fixtures.processes import ROOT
from tests.packaging.conftest import Distributions, build

pytestmark = pytest.mark.slow

SQL = {str(path.relative_to(ROOT)) for path in (ROOT / "sql").rglob("*") if path.is_file()}
CODE = {str(path.relative_to(ROOT)) for path in (ROOT / "awa").rglob("*.py")}


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        return message_from_bytes(archive.read(f"awa_supervisor-{__version__}.dist-info/METADATA"))


def test_the_wheel_has_all_code_and_all_statements_and_nothing_else(built: Distributions) -> None:
    found = names(built.wheel)
    about = {name for name in found if name.startswith(f"awa_supervisor-{__version__}.dist-info/")}
    assert len(SQL) > 50
    assert found - about == CODE | {"awa/py.typed"} | {f"awa/{name}" for name in SQL}


def test_the_wheel_is_described(built: Distributions) -> None:
    about = metadata(built.wheel)
    assert (about["Name"], about["Version"]) == ("awa-supervisor", __version__)
    assert about["License-Expression"] == "MIT OR Apache-2.0"
    assert about["Requires-Python"] == ">=3.10"
    assert {"embedded", "django", "flask", "sqlalchemy", "test", "bench"} == set(about.get_all("Provides-Extra"))
    assert f"awa_supervisor-{__version__}.dist-info/licenses/LICENSE" in names(built.wheel)
    assert built.wheel.name == f"awa_supervisor-{__version__}-py3-none-any.whl"


def test_the_wheel_brings_two_commands(built: Distributions) -> None:
    parser = ConfigParser()
    with zipfile.ZipFile(built.wheel) as archive:
        parser.read_string(archive.read(f"awa_supervisor-{__version__}.dist-info/entry_points.txt").decode())
    assert dict(parser["console_scripts"]) == {"awa": "awa.cli:main", "awa-supervisor": "awa.cli.supervise:main"}


def test_the_sdist_has_what_it_takes_to_build_and_test(built: Distributions) -> None:
    with tarfile.open(built.sdist) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    assert found >= SQL | CODE | {"awa/py.typed", "LICENSE", "README.md", "pyproject.toml", "Makefile"}
    assert "tests/conftest.py" in found
    assert not [name for name in found if "__pycache__" in name or ".venv" in name]


def test_a_wheel_built_from_the_sdist_is_the_same(built: Distributions, tmp_path: Path) -> None:
    with tarfile.open(built.sdist) as archive:
        archive.extractall(tmp_path)
    (source,) = tmp_path.iterdir()
    build(source, tmp_path / "dist", "wheel")
    (again,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(built.wheel) as one, zipfile.ZipFile(again) as other:
        assert {info.filename: info.CRC for info in one.infolist()} == {i.filename: i.CRC for i in other.infolist()}
