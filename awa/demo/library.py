"""The files to analyse: the Python sources of the running interpreter's standard library."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

NOT_LIBRARY = frozenset({"site-packages", "dist-packages", "__pycache__"})
"""Directories inside it that hold what people have installed, or what Python has compiled."""


def root() -> Path:
    """Return the directory of the standard library. Every process of this interpreter finds the same."""
    return Path(sysconfig.get_path("stdlib")).resolve()


def source_files(top: Path) -> list[str]:
    """Return every Python source file below `top`, as paths relative to it, in order."""
    found = []
    for directory, names, files in os.walk(top):
        names[:] = [name for name in names if name not in NOT_LIBRARY]
        found += [str(Path(directory, file).relative_to(top)) for file in files if file.endswith(".py")]
    return sorted(path for path in found if path.isprintable())


def largest(top: Path, files: list[str], limit: int) -> list[str]:
    """Return the `limit` largest of some files, in their order."""
    by_size = sorted(files, key=lambda file: (top / file).stat().st_size, reverse=True)
    return sorted(by_size[:limit])
