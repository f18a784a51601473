"""Every statement of the engine, and who may run it: the server is asked for its plan, which takes the same rights."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from awa.database.statements import root, statement

Login = Callable[[str], str]
Connect = Callable[..., psycopg.Connection[Any]]

STATEMENTS = sorted(
    f"{folder.name}/{file.name.removesuffix('.sql')}"
    for folder in root().iterdir()
    if folder.is_dir()
    for file in folder.iterdir()
    if file.name.endswith(".sql")
)
NAMES_TABLES = re.compile(r"(?<!')\bawa\.(?!sealer)")
"""Not as text only, for a function that is asked about a table, or takes a value from a sequence."""
PRODUCER = {"insert/insert", "insert/insert_jobs"}
READER = {
    "control/attempts",
    "control/by_ids",
    "control/deaths",
    "control/get",
    "control/list",
    "control/list_batched",
    "control/list_deferred",
    "control/list_ended",
    "control/queue_stats",
    "dlq/depth",
    "dlq/entries",
    "dlq/list",
    "insert/inserted",
    "queues/policy",
}
WRITES = re.compile(r"\b(insert into|update|delete from) awa\.")
COPY = {"insert/claim_keys", "insert/copy", "insert/copy_batched"}
"""Bulk inserts of the schema's owner; everybody else calls awa.insert_jobs."""
ADMIN = {"control/pause", "control/resume", "ended/retry", "queues/configure", "queues/forget"}


def may(connection: psycopg.Connection[Any], name: str) -> bool:
    text = re.sub(r"%\(\w+\)s", "null", statement(name).decode()).replace("%%", "%")
    try:
        with connection.transaction(force_rollback=True):
            if text.lower().startswith("copy"):
                with connection.cursor().copy(text.encode()):
                    pass
            else:
                is_planned = re.match(r"(with|select|insert|update|delete)\b", text)
                connection.execute((b"explain " if is_planned else b"") + text.encode())
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


@pytest.fixture
def allowed(login: Login, connect: Connect) -> Callable[[str], set[str]]:
    """The statements a role may run."""

    def find(role: str) -> set[str]:
        connection = connect(login(role))
        return {name for name in STATEMENTS if may(connection, name)}

    return find


def test_the_owner_may_run_all(connect: Connect, database: str) -> None:
    connection = connect(database)
    assert [name for name in STATEMENTS if not may(connection, name)] == []


def test_a_producer_inserts_and_nothing_else(allowed: Callable[[str], set[str]]) -> None:
    assert {name for name in allowed("awa_producer") if NAMES_TABLES.search(statement(name).decode())} == PRODUCER


def test_a_reader_changes_nothing(allowed: Callable[[str], set[str]]) -> None:
    found = allowed("awa_reader")
    assert found >= READER
    assert not [name for name in found if WRITES.search(statement(name).decode())]
    assert not found & PRODUCER


def test_a_worker_does_all_but_what_operators_do(allowed: Callable[[str], set[str]]) -> None:
    assert set(STATEMENTS) - allowed("awa_worker") == ADMIN | COPY


def test_an_admin_does_all(allowed: Callable[[str], set[str]]) -> None:
    assert set(STATEMENTS) - allowed("awa_admin") == {"insert/copy", "insert/copy_batched"}
