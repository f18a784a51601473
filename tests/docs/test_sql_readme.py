"""The guide to sql/ names what there is: folders, statements, tables, advisory locks."""

from __future__ import annotations

import re
from typing import Any

import psycopg

from tests.docs.blocks import ROOT, prose

SQL = ROOT / "sql"
PAGE = SQL / "README.md"
FOLDERS = {path.parent.name for path in SQL.glob("*/*.sql")} - {"migrations"}
_LOCK = re.compile(r"\b47152\d\d\b")


def section(title: str) -> str:
    return PAGE.read_text().split(f"## {title}\n")[1].split("\n## ")[0]


def test_every_folder_has_its_line() -> None:
    assert set(re.findall(r"^\| \[`(\w+)/`\]", section("The statements, by verb"), re.MULTILINE)) == FOLDERS


def test_every_table_says_who_writes_it(connection: psycopg.Connection[Any]) -> None:
    tables = connection.execute(
        "select relname from pg_class where relnamespace = 'awa'::regnamespace and relkind in ('r', 'p') "
        "and not relispartition"
    )
    documented = re.findall(r"^\| `(\w+)` \|", section("Who writes what, and how often"), re.MULTILINE)
    assert sorted(documented) == sorted(name for (name,) in tables)


def test_statements_that_are_named_exist() -> None:
    named = re.findall(rf"`((?:{'|'.join(FOLDERS)})/\w+)`", prose(PAGE))
    assert named
    assert [name for name in named if not (SQL / f"{name}.sql").exists()] == []


def test_every_statement_that_locks_has_its_line() -> None:
    locking = re.compile(r"\bfor (update|share|key share|no key update)\b|advisory|lock_timeout", re.IGNORECASE)
    listed = section("Who locks what")
    silent = [
        name
        for path in sorted(SQL.glob("*/*.sql"))
        if locking.search(re.sub(r"--.*", "", path.read_text()))
        and f"`{(name := f'{path.parent.name}/{path.stem}')}`" not in listed
    ]
    assert silent == []


def test_advisory_locks_are_those_of_the_code() -> None:
    sources = [*SQL.rglob("*.sql"), *(ROOT / "awa").rglob("*.py")]
    used = {number for path in sources for number in _LOCK.findall(path.read_text())}
    assert set(_LOCK.findall(PAGE.read_text())) == used
