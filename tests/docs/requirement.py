"""Stands in for pip in the pages: accepts `install` of this distribution with extras it has, or of a known package."""

from __future__ import annotations

import re
import sys

from tests.docs.blocks import ROOT


def main(arguments: list[str]) -> int:
    """Return 0 if what is to be installed exists."""
    command, *wanted = [argument for argument in arguments if not argument.startswith("-")]
    if command != "install" or not wanted:
        return 64
    return next((1 for each in wanted if not _exists(each)), 0)


def _exists(wanted: str) -> bool:
    found = re.fullmatch(r"(?P<name>[\w-]+)(?:\[(?P<extras>[\w,]+)\])?", wanted)
    project = (ROOT / "pyproject.toml").read_text()
    if found is None:
        return False
    if found["name"] != "awa-supervisor":
        return f'"{found["name"]}' in project
    return all(f"\n{extra} = [" in project for extra in (found["extras"] or "").split(",") if extra)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
