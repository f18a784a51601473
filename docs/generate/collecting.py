"""Every message of the product, from its source: what is raised with a text, what SQL raises, what is logged."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import awa

PACKAGE = Path(awa.__file__).parent
ROOT = PACKAGE.parent
HOLE = "…"
"""Stands for what a message fills in."""
_SQL_RAISE = re.compile(r"raise exception '((?:[^']|'')*)'", re.IGNORECASE)


class Message(NamedTuple):
    """One message: which module says it, as which exception, in which words."""

    module: str
    """From the root of the repository: "awa/cli/jobs.py", "sql/schema.sql"."""
    raises: str
    """The class of the exception, "SQL" for one that the database raises."""
    text: str


@cache
def messages() -> list[Message]:
    """Return all messages, in the order of their modules, each once."""
    found = [*_python(), *_sql()]
    return list(dict.fromkeys(found))


def _python() -> Iterator[Message]:
    for path in sorted(PACKAGE.rglob("*.py")):
        module = str(path.relative_to(ROOT))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                for text in _texts(node.exc.args[0]):
                    yield Message(module, ast.unparse(node.exc.func).rpartition(".")[2], text)


def _sql() -> Iterator[Message]:
    for path in sorted((ROOT / "sql").rglob("*.sql")):
        for found in _SQL_RAISE.finditer(path.read_text(encoding="utf-8")):
            yield Message(str(path.relative_to(ROOT)), "SQL", found[1].replace("''", "'").replace("%", HOLE))


def _texts(node: ast.expr) -> Iterator[str]:
    """Yield what an expression may say; nothing for one that only passes on what is said elsewhere."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=values):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else HOLE for part in values)
            if text.strip(f"{HOLE} ;:,"):
                yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from _texts(body)
            yield from _texts(orelse)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            yield from ("".join(pair) for pair in zip(_texts(left), [*_texts(right)] or [HOLE], strict=False))
