"""The glossary names what the code and the schema have, and leaves out no table."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.docs.blocks import ROOT

PAGE = ROOT / "docs/reference/glossary.md"
ROW = re.compile(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
NAME = re.compile(r"(?:(table|view|column|type) )?`([\w.]+)`")
OBJECTS = "select relname from pg_class where relnamespace = 'awa'::regnamespace and relkind in ('r', 'p', 'v')"


def entries() -> list[tuple[str, list[tuple[str, str]]]]:
    """Return each word with the names it is called by: what sort of thing (empty: in the code), and which."""
    found = [(word.strip(), NAME.findall(where)) for word, _, where in ROW.findall(PAGE.read_text("utf-8"))]
    return [(word, names) for word, names in found if word not in ("word", "---")]


def named(sort: str) -> Iterator[str]:
    for _, names in entries():
        yield from (name for kind, name in names if kind == sort)


def resolve(path: str) -> Any:
    """Import the longest part of a dotted name that is a module, and look up the rest in it."""
    parts = path.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for each in parts[length:]:
            found = (
                getattr(found, each)
                if not hasattr(found, "__annotations__") or hasattr(found, each)
                else (found.__annotations__[each])
            )
        return found
    raise ModuleNotFoundError(path)


def test_each_word_has_one_row_and_stands_somewhere() -> None:
    words = [word for word, _ in entries()]
    assert len(words) > 40
    assert len(words) == len(set(words))
    assert [word for word, names in entries() if not names] == []


def test_what_is_named_in_the_code_is_there() -> None:
    missing = []
    for path in named(""):
        try:
            resolve(path)
        except (ImportError, AttributeError, KeyError):
            missing.append(path)
    assert missing == []


def test_every_table_and_view_has_a_word(connection: psycopg.Connection[Any]) -> None:
    relations = {name for (name,) in connection.execute(OBJECTS) if not re.search(r"_log_\d+$", name)}
    assert relations == {*named("table"), *named("view")}


@pytest.mark.parametrize("sort", ["column", "type"])
def test_columns_and_types_are_there(connection: psycopg.Connection[Any], sort: str) -> None:
    names = list(named(sort))
    assert names
    for name in names:
        if sort == "type":
            connection.execute("select %s::regtype", [f"awa.{name}"])
        else:
            table, column = name.split(".")
            query = "select 1 from pg_attribute where attrelid = %s::regclass and attname = %s"
            assert connection.execute(query, [f"awa.{table}", column]).fetchall(), name
