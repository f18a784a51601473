"""A data directory: made once by initdb, recognised ever after."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import psycopg
from psycopg import sql

from awa.embedded import config, files
from awa.embedded.account import Account
from awa.embedded.binaries import Binaries, find_system, major_of
from awa.embedded.failures import explain
from awa.embedded.home import Home
from awa.embedded.programs import run
from awa.errors import EmbeddedError

SUPERUSER = "postgres"
OWNER = "awa"  # no superuser, as in production; it owns the database
RIGHTS = ("createdb", "createrole")  # for test databases, which frameworks make, and for `awa migrate --roles`
DATABASE = "awa"
PROVIDER_SINCE = 17


def ensure(home: Home, binaries: Binaries, account: Account, durable: bool) -> None:
    """Make the cluster unless it is there.

    It is made beside its place and moved there when complete: a crash leaves nothing that looks like a cluster.

    Args:
        durable: flush the new files to the disk.
    """
    if home.data.exists():
        check_version(home, binaries)
        return
    new = home.new_data()
    try:
        files.make_directory(new, 0o700, account.uid, account.gid)
        _initdb(home, new, binaries, account, durable)
        config.install(new, account)
        new.rename(home.data)
    except OSError as error:
        raise explain("Making the data directory", home.path, str(error)) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def check_version(home: Home, binaries: Binaries) -> None:
    """Refuse a data directory of another major version, which the server cannot read."""
    try:
        made_by = files.read(home.data / "PG_VERSION").strip()
    except OSError as error:
        raise EmbeddedError(
            f"{home.data} is not a complete data directory (PG_VERSION: {error.strerror}). Choose another directory, "
            "or remove it if it holds nothing you need."
        ) from error
    if major_of(made_by) != binaries.major:
        other = find_system(major_of(made_by))
        hint = f"set AWA_PG_BIN={other.directory}" if other else f"set AWA_PG_BIN to binaries of PostgreSQL {made_by}"
        raise EmbeddedError(
            f"{home.data} was made by PostgreSQL {made_by}, the binaries are {binaries.version} ({binaries.directory}),"
            " and a major version does not read the files of another. "
            f"To use it, {hint}; or choose another directory."
        )


def ensure_database(home: Home, superuser_dsn: str, password: str | None) -> None:
    """Make the role, its rights and the database unless they are there, and set its password if one is given."""
    role = sql.Identifier(OWNER)
    try:
        with psycopg.connect(superuser_dsn, autocommit=True) as connection:
            if not connection.execute("select 1 from pg_roles where rolname = %s", [OWNER]).fetchone():
                connection.execute(sql.SQL("create role {} login").format(role))
            rights = sql.SQL(" ").join(map(sql.SQL, RIGHTS))  # a server made by an earlier release lacks them
            connection.execute(sql.SQL("alter role {} {}").format(role, rights))
            if password is not None:
                connection.execute(sql.SQL("alter role {} password {}").format(role, sql.Literal(password)))
            if not connection.execute("select 1 from pg_database where datname = %s", [DATABASE]).fetchone():
                connection.execute(sql.SQL("create database {} owner {}").format(sql.Identifier(DATABASE), role))
    except psycopg.Error as error:
        raise explain("Making the database", home.path, str(error)) from error


def _initdb(home: Home, new: Path, binaries: Binaries, account: Account, durable: bool) -> None:
    """Fill the new directory: UTF-8, and a collation that is the same on every machine."""
    command = [binaries.program("initdb"), "--pgdata", str(new), "--username", SUPERUSER]
    command += ["--encoding", "UTF8", "--locale", "C", "--auth", "trust", "--no-instructions"]
    if binaries.major >= PROVIDER_SINCE:
        command += ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
    if not durable:
        command.append("--no-sync")
    status, said = run(command, account, home.log)
    if status != 0:
        raise explain("Making the data directory", home.path, said)


def is_durable(settings: Mapping[str, str]) -> bool:
    """Return whether files are flushed to the disk: unless the settings say that a crash of the machine may lose
    them."""
    return settings.get("fsync", "on") not in ("off", "false", "0")
