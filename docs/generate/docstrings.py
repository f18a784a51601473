"""Docstrings as Markdown, and the strings that stand below the attributes of a class."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from typing import Any, NamedTuple

from docs.generate.markdown import code

_SECTION = re.compile(r"^(Args|Raises|Returns):$")
_ITEM = re.compile(r"    (?P<names>\w+(?:, \w+)*): (?P<meaning>.*)")


def doc(value: Any) -> str:
    """Return a docstring as Markdown; its arguments and errors become lists."""
    lines: list[str] = []
    in_section = False
    for line in (inspect.getdoc(value) or "").splitlines():
        item = _ITEM.fullmatch(line) if in_section else None
        if _SECTION.match(line):
            in_section = True
            lines += [f"{line}", ""]
        elif item:
            lines.append(f"* {', '.join(map(code, item['names'].split(', ')))}: {item['meaning']}")
        elif in_section and line.startswith("    "):
            lines.append("  " + line.strip())
        else:
            in_section = in_section and not line
            lines.append(line)
    return "\n".join(lines)


class Attribute(NamedTuple):
    """What a class declares in its body."""

    name: str
    type: str
    meaning: str


def attributes(value: type) -> list[Attribute]:
    """Return the public attributes that a class declares, each with the string below it.

    Read from the source: the types as the interpreter keeps them look different from one Python to the next.
    """
    body = ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = (_attribute(node, below) for node, below in zip(body.body, [*body.body[1:], None], strict=True))
    return [each for each in found if each is not None and not each.name.startswith("_")]


def _attribute(node: ast.stmt, below: ast.stmt | None) -> Attribute | None:
    match node:
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
            return Attribute(name, ast.unparse(annotation), _text(below))
        case ast.Assign(targets=[ast.Name(id=name)]):
            return Attribute(name, "", _text(below))
    return None


def _text(node: ast.stmt | None) -> str:
    match node:
        case ast.Expr(value=ast.Constant(value=str(text))):
            return inspect.cleandoc(text)
    return ""
