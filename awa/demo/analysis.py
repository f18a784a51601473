"""The work of one job: a Python file's functions and their complexity, its digest, its compressed size."""

from __future__ import annotations

import ast
import lzma
import warnings
from dataclasses import dataclass

from blake3 import blake3

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BRANCHES = (
    ast.If,
    ast.IfExp,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.ExceptHandler,
    ast.Assert,
    ast.match_case,
)
"""Each of these opens one more way through a function."""


@dataclass(slots=True)
class Function:
    """One function or method of a file."""

    name: str
    """With the classes and functions around it: "JSONDecoder.decode"."""
    line: int
    lines: int
    complexity: int
    """McCabe's cyclomatic complexity: the number of independent ways through, 1 without any branch."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """The analysis of a file."""

    size: int
    """Bytes."""
    packed: int
    """Bytes, compressed with LZMA."""
    digest: str
    """BLAKE3, as hexadecimal digits."""
    lines: int
    functions: list[Function]
    problem: str | None
    """Why the file cannot be parsed. Standard libraries bring such files along, to test their own tools with."""


def analyse(source: bytes) -> Analysis:
    """Analyse the contents of a file. Never fails: a file that is not Python is a result, too."""
    functions: list[Function] = []
    problem = None
    try:
        functions = find_functions(parse(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # what ast.parse is documented to raise
        problem = describe(error)
    return Analysis(
        size=len(source),
        packed=len(lzma.compress(source, preset=6)),
        digest=blake3(source).hexdigest(),
        lines=len(source.splitlines()),
        functions=functions,
        problem=problem,
    )


def describe(error: Exception) -> str:
    """Return an error in one line. What it quotes may hold characters that no database keeps."""
    return "".join(c if c.isprintable() else " " for c in f"{type(error).__name__}: {error}")


def parse(source: bytes) -> ast.Module:
    """Return the syntax tree of a file, decoded as its own first lines say."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # doubtful escapes in other people's strings are not our subject
        return ast.parse(source)


def find_functions(tree: ast.Module) -> list[Function]:
    """Return every function of a file in the order of their lines.

    A branch counts for the innermost function around it. The walk keeps its own stack: a tree may be deeper than
    Python lets functions call each other.
    """
    found: list[Function] = []
    left: list[tuple[ast.AST, str, Function | None]] = [(tree, "", None)]
    while left:
        node, scope, inside = left.pop()
        if isinstance(node, FUNCTIONS):
            inside = Function(scope + node.name, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1, 1)
            found.append(inside)
            scope = f"{inside.name}."
        elif isinstance(node, ast.ClassDef):
            scope, inside = f"{scope}{node.name}.", None
        elif inside is not None:
            inside.complexity += ways(node)
        left.extend((child, scope, inside) for child in ast.iter_child_nodes(node))
    return sorted(found, key=lambda function: function.line)


def ways(node: ast.AST) -> int:
    """Return how many ways through its function a node adds."""
    if isinstance(node, BRANCHES):
        return 1
    if isinstance(node, ast.BoolOp):
        return len(node.values) - 1
    if isinstance(node, ast.comprehension):
        return 1 + len(node.ifs)
    return 0
