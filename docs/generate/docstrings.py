"""Docstrings as Markdown, and the strings that stand below the attributes of a class."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from typing import Any

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


def attributes(value: type) -> list[tuple[str, str]]:
    """Return the attributes a class declares, each with the string below it."""
    body = ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]
    assert isinstance(body, ast.ClassDef)
    found = []
    for node, below in zip(body.body, [*body.body[1:], None], strict=True):
        name = _target(node)
        if name is not None and not name.startswith("_"):
            found.append((name, _text(below)))
    return found


def _target(node: ast.stmt) -> str | None:
    target = (
        node.targets[0] if isinstance(node, ast.Assign) else node.target if isinstance(node, ast.AnnAssign) else None
    )
    return target.id if isinstance(target, ast.Name) else None


def _text(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return inspect.cleandoc(node.value.value)
    return ""
