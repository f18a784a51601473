"""Pieces of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NOTE = "<!-- Made from the code by `python -m docs.generate`. Change the code, not this page. -->"


def document(title: str, *paragraphs: str) -> str:
    """Return a page."""
    return (
        "\n\n".join([f"# {title}", NOTE, *(paragraph.strip() for paragraph in paragraphs if paragraph.strip())]) + "\n"
    )


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table."""
    lines = [list(headings), ["---"] * len(headings), *([cell(value) for value in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(value: object) -> str:
    """Return what fits into one cell of a table."""
    return " ".join(str(value).split()).replace("|", "\\|")


def code(text: object) -> str:
    """Return a code span."""
    return f"`{text}`"
