"""The conformance script passes, and fails on a database that does not keep the contract."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.fixtures.postgres import both_servers
from tests.fixtures.processes import ROOT

SCRIPT = ROOT / "docs" / "reference" / "sql-contract.sql"
KEPT = "the contract is kept"


def run(dsn: str) -> str:
    """Run the script, by psql where there is one; return what it says."""
    if psql := shutil.which("psql"):
        command = [psql, "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--file", str(SCRIPT), dsn]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        return done.stderr if done.returncode else done.stdout
    return run_by_driver(dsn)


def run_by_driver(dsn: str) -> str:
    plain = re.sub(r"^\\echo.*$", "", SCRIPT.read_text(), flags=re.MULTILINE)
    with psycopg.connect(dsn, autocommit=True) as connection:
        try:
            connection.execute(plain.encode())
        except psycopg.Error as error:
            return str(error)
    return KEPT


@both_servers
@pytest.mark.parametrize("runner", [run, run_by_driver])
def test_the_contract_is_kept(database: str, runner: Callable[[str], str], connection: psycopg.Connection[Any]) -> None:
    assert runner(database).strip().endswith(KEPT)
    assert connection.execute("select count(*) from awa.jobs").fetchone() == (0,)


def test_the_contract_is_kept_where_roles_are(database: str, login: Callable[[str], str]) -> None:
    login("awa_producer")
    assert run(database).strip().endswith(KEPT)


def source(connection: psycopg.Connection[Any], name: str) -> str:
    row = connection.execute("select pg_get_functiondef(%s::regproc)", [name]).fetchone()
    assert row is not None
    return str(row[0])


def recreate(connection: psycopg.Connection[Any], name: str, old: str, new: str) -> None:
    """Replace a function by one of the same name that is not quite the same."""
    text = source(connection, name)
    assert old in text
    connection.execute(f"drop function {name}".encode())
    connection.execute(text.replace(old, new).encode())
    connection.execute(f"revoke execute on function {name} from public".encode())


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("awa.insert_job", "priority integer DEFAULT 2", "priority integer DEFAULT 3", "what awa.insert_job takes"),
        (
            "awa.insert_job",
            "max_attempts integer DEFAULT NULL::integer",
            "attempts_max integer DEFAULT NULL::integer",
            "what awa.insert_job takes",
        ),
        ("awa.insert_job", "detail = v_holder::text, ", "", "the error when a unique key is taken"),
        ("awa.insert_job", "constraint = 'unique_claim_pkey', ", "", "the error when a unique key is taken"),
        ("awa.insert_job", "v_job.outcome := 'existing'", "v_job.outcome := 'skipped'", "on_conflict skip"),
        ("awa.insert_job", "SECURITY DEFINER", "", "awa.insert_job runs with the rights of the schema"),
        ("awa.insert_jobs", "pos integer, id bigint", "pos bigint, id bigint", "what awa.insert_jobs returns"),
        ("awa.check_job", "'22004'", "'23502'", "the error of insert_job(null)"),
        ("awa.contract_version", "select 1", "select 2", "the version"),
    ],
)
def test_a_broken_contract_is_seen(
    database: str, connection: psycopg.Connection[Any], name: str, old: str, new: str, told: str
) -> None:
    recreate(connection, name, old, new)
    assert f"the contract is broken: {told}" in run(database)


def test_a_parameter_without_its_default_is_seen(database: str, connection: psycopg.Connection[Any]) -> None:
    text = source(connection, "awa.insert_job")
    head, body = text.split(" RETURNS ", 1)
    connection.execute(b"drop function awa.insert_job")
    connection.execute((re.sub(r" DEFAULT [^,)]+", "", head) + " RETURNS " + body).encode())
    connection.execute("revoke execute on function awa.insert_job from public")
    assert "the contract is broken: what awa.insert_job takes" in run(database)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("grant execute on function awa.insert_job to public", "the rights of everybody on awa.insert_job"),
        ("alter type awa.inserted_job alter attribute attempt type integer", "the type awa.inserted_job"),
        ("alter type awa.inserted_job rename attribute run_at to due_at", "the type awa.inserted_job"),
        ("alter function awa.insert_jobs reset search_path", "awa.insert_jobs runs with the rights of the schema"),
    ],
)
def test_changes_that_break_it_are_seen(
    database: str, connection: psycopg.Connection[Any], change: str, told: str
) -> None:
    connection.execute(change.encode())
    assert f"the contract is broken: {told}" in run(database)


def test_what_may_be_added_breaks_nothing(database: str, connection: psycopg.Connection[Any]) -> None:
    """A type may get another state, a view another column."""
    connection.execute("alter type awa.job_state add value 'lost'")
    assert run(database).strip().endswith(KEPT)
