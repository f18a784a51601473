"""Text from elsewhere, made safe for a terminal: names, errors and arguments may hold what steers one."""

from __future__ import annotations

import re
from typing import Final

_STEERING: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, but tab and line feed; C1 holds CSI as a single character
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # the direction in which a terminal writes
    "\u2028\u2029\ufeff\ufff9-\ufffb"  # separators that some viewers break lines at, and marks that are not seen
    "\ud800-\udfff]"  # halves of characters, which no output encoding takes
)
"""Characters that move the cursor, change colours, titles or the clipboard, or show a line as another one."""


def printable(text: str) -> str:
    """Return `text` with each character that steers a terminal as its escape (`\\x1b`, `\\u202e`). Tabs and
    lines stay."""
    return _STEERING.sub(_escape, text)


def printable_line(text: str) -> str:
    """Return `text` as `printable` does, in one line: tabs and line feeds are escapes, too."""
    return printable(text).replace("\t", "\\t").replace("\n", "\\n")


def printable_json(document: str) -> str:
    """Return a JSON document with the same meaning, and nothing in its strings that steers a terminal."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return "\\r" if code == 13 else f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
