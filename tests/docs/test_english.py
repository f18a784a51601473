"""Docstrings, help texts, SQL comments and titles of decisions speak of components, and say what they do.

Persons ("somebody", "whoever") hide which process or session acts, and a docstring that opens with "What" or "Whether"
defines nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click

from awa.cli.group import main
from tests.docs.blocks import ROOT

PERSONS = re.compile(r"\b(somebody|nobody|whoever|whomever|everybody|anybody|anew|ours|theirs)\b", re.IGNORECASE)
NO_DEFINITION = re.compile(r"(What|Whether|How|Who|Whom|Whose|Which|From what)\b")
NAMES = {("awa/embedded/account.py", "nobody")}
"""The user that many systems have for processes without rights."""


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of every string that stands by itself: of modules, classes, functions, constants, fields."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value.strip()


def comments(path: Path) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if "--" in line:
            yield number, line.split("--", 1)[1]


def helps(command: click.Command, name: str = "awa") -> Iterator[tuple[str, str]]:
    """Yield the help texts of a command, its options, and the commands below it."""
    yield name, command.help or ""
    for parameter in command.params:
        yield f"{name} {parameter.name}", getattr(parameter, "help", None) or ""
    for each in getattr(command, "commands", {}).values():
        yield from helps(each, f"{name} {each.name}")


def sources() -> list[Path]:
    return sorted((ROOT / "awa").rglob("*.py"))


def test_docstrings_name_the_part_that_acts() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {word[0]}"
        for path in sources()
        for line, text in docstrings(path)
        for word in PERSONS.finditer(text)
        if (str(path.relative_to(ROOT)), word[0]) not in NAMES
    ]
    assert found == []


def test_docstrings_begin_with_what_they_define_or_do() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text[:60]}"
        for path in sources()
        for line, text in docstrings(path)
        if NO_DEFINITION.match(text)
    ]
    assert found == []


def test_comments_in_sql_name_the_part_that_acts() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {word[0]}"
        for path in sorted((ROOT / "sql").rglob("*.sql"))
        for line, text in comments(path)
        for word in PERSONS.finditer(text)
    ]
    assert found == []


def test_help_texts_name_the_part_that_acts() -> None:
    texts = list(helps(main))
    assert len(texts) > 100
    assert [(name, text) for name, text in texts if PERSONS.search(text) or NO_DEFINITION.match(text)] == []


def test_titles_of_decisions_name_the_part_that_acts() -> None:
    pages = sorted((ROOT / "docs/decisions").glob("0*.md"))
    titles = [page.read_text("utf-8").splitlines()[0] for page in pages]
    assert len(titles) > 40
    assert [title for title in titles if PERSONS.search(title)] == []
