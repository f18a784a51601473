"""What steers a terminal never reaches one as it is."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import awa.cli
from awa.text.printable import printable, printable_json, printable_line

HOSTILE = "\x1b]0;title\x07 \x9b31m \u202eabc\u2066 \r\x08 \u2028 \ud800 \x7f"


def test_everything_python_calls_unprintable_but_spaces_is_escaped() -> None:
    harmless = {"Zs", "Cn", "Co", "Cf"}  # spaces, unassigned and private characters, joiners within words
    import unicodedata

    for code in range(sys.maxunicode + 1):
        sign = chr(code)
        if printable(sign) == sign and not sign.isprintable() and sign not in "\t\n":
            assert unicodedata.category(sign) in harmless, hex(code)


def test_lines_stay_lines_and_letters_letters() -> None:
    assert printable("Māori ß 🦆\n\ttab") == "Māori ß 🦆\n\ttab"
    assert printable_line("a\n\tb") == "a\\n\\tb"
    assert printable("\x1b[2J\r") == "\\x1b[2J\\r"
    assert printable("\u202e") == "\\u202e"


def test_json_keeps_its_meaning() -> None:
    document = json.dumps({"a": HOSTILE}, ensure_ascii=False)
    shown = printable_json(document)
    assert json.loads(shown) == {"a": HOSTILE}
    assert shown.isprintable()


def test_commands_print_through_one_function() -> None:
    """`say`, `show_json` and `Refused.show` sanitise. `click.echo` elsewhere prints only what the package contains."""
    allowed = {("output.py", "_write"), ("failures.py", "show"), ("schema.py", "_print_sql")}
    found = set()
    for path in Path(awa.cli.__path__[0]).glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            if any(isinstance(node, ast.Attribute) and node.attr in ("echo", "secho") for node in ast.walk(function)):
                found.add((path.name, function.name))
    assert found == allowed
