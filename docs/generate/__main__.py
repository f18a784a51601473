"""`python -m docs.generate`: write the reference pages. `--check`: only say which are not what the code says now."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from docs.generate import commands, errors, events, messages, python, settings

FOLDER = Path(__file__).parents[1] / "reference"
PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings.page,
    "cli.md": commands.page,
    "python.md": python.page,
    "errors.md": errors.page,
    "events.md": events.page,
    "messages.md": messages.page,
}


def stale() -> list[str]:
    """Return the names of pages that are not what the code says now."""
    return [name for name, page in PAGES.items() if not _is(FOLDER / name, page())]


def write() -> list[str]:
    """Write the pages that are stale; return their names."""
    names = stale()
    for name in names:
        (FOLDER / name).write_text(PAGES[name](), encoding="utf-8")
    return names


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


def main(arguments: list[str]) -> int:
    """Write or check; return the exit code."""
    if arguments == ["--check"]:
        names = stale()
        for name in names:
            sys.stderr.write(f"docs/reference/{name} is not what the code says: run python -m docs.generate\n")
        return 1 if names else 0
    for name in write():
        sys.stdout.write(f"docs/reference/{name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
