"""The fenced code blocks of a Markdown page, and what the words behind the language mean.

    ```python shop.py         written to shop.py, and imported
    ```python shop/tasks.py   written to shop/tasks.py; what stands in a folder is imported by what follows
    ```python                 run as a script
    ```bash                   run by bash, in the page's directory
    ```bash background        started, and left running until the page ends
    ```sql                    run in the page's database
    ```ini awa.service        a systemd unit: read, and its command line checked
    ```text output            what the block before it must have printed; … stands for anything
    ```text                   a drawing; not code

A block that must not run is followed by a paragraph readers see too: "*Not run by the tests: …*", with the reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LANGUAGES = frozenset({"python", "bash", "sql", "ini", "text"})
NOT_RUN = "*Not run by the tests: "
_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$\n?", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: Path
    line: int
    language: str
    word: str
    """What stands behind the language: a file name, "background", "output", or nothing."""
    text: str
    not_run: str | None
    """Why the block is not run."""

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def pages() -> list[Path]:
    """Every page of the documentation."""
    return [ROOT / "README.md", ROOT / "sql" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    source = page.read_text()
    return [_block(page, source, found) for found in _FENCE.finditer(source)]


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def _block(page: Path, source: str, found: re.Match[str]) -> Block:
    language, _, word = found["info"].strip().partition(" ")
    text = re.sub(rf"^{found['indent']}", "", found["text"], flags=re.MULTILINE)
    line = source.count("\n", 0, found.start()) + 1
    return Block(page, line, language, word.strip(), text, _reason(source[found.end() :].lstrip("\n")))


def _reason(following: str) -> str | None:
    if not following.startswith(NOT_RUN):
        return None
    return following.removeprefix(NOT_RUN).partition("*")[0].strip()
