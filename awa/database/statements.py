"""Reads `sql/`: one statement per file, named like the verb that runs it (`settle/settle`)."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.abc import Traversable  # moved to importlib.resources.abc in 3.11, and gone from here in 3.14


@cache
def root() -> Traversable:
    """Return the folder of statements: inside an installed package, or beside it in a checkout."""
    packaged = files("awa") / "sql"
    if packaged.is_dir():
        return packaged
    return Path(__file__).resolve().parents[2] / "sql"


@cache
def statement(name: str) -> bytes:
    """Return the text of the statement `name` ("claim/bodies") without comments and its final semicolon.

    Comments are for readers of the file; the server would parse and log them with every execution.
    """
    lines = script(f"{name}.sql").splitlines()
    kept = (line for line in lines if line.strip() and not line.lstrip().startswith("--"))
    return "\n".join(kept).rstrip().removesuffix(";").encode()


def script(path: str) -> str:
    """Return a whole file of `sql/`, as it stands."""
    return root().joinpath(path).read_text(encoding="utf-8")
