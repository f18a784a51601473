"""Every module may import only what stands left of it; the edges may import anything, and each other only as listed.

No modules import each other in a circle, however late.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import awa

ROOT = Path(awa.__file__).parent
LAYERS = (
    (
        "errors version kinds job backoff policy waking queue_policy codec anatomy failure outcome "
        "settings telemetry logs crontab unique ordering moments printable job_log unknown environment"
    ),
    "processes",
    "database",
    "engine",
    "features",
    "declared",
    "task",
    "insert_options connected partitions",
    "producing inserted",
    "inserting",
    "transaction copying",
    "worker",
    "asking reading coroutines callback_contract",
    "registering jobs queues dead_letters bridge",
    "client async_transaction",
    "async_client",
    "supervisor",
)
EDGES = "cli web embedded integrations otel testing demo bench __main__".split()
BETWEEN_EDGES = {
    ("cli", "web"),
    ("cli", "embedded"),
    ("cli", "demo"),
    ("cli", "bench"),
    ("bench", "demo"),
    ("testing", "embedded"),
    ("demo", "embedded"),
}
BETWEEN_EDGES |= {("__main__", "cli"), ("integrations", "cli")}
RANK = {part: rank for rank, parts in enumerate(LAYERS) for part in parts.split()}
RANK |= {edge: len(LAYERS) for edge in EDGES}
FACADE = "awa"
"""awa/__init__.py, the contents page: it names things of every layer up to the clients, never of the supervisor."""


def part_of(module: str) -> str:
    """Return the part of Awa that a dotted module name lies in: awa.engine.claim → engine."""
    steps = module.split(".")
    return steps[1] if len(steps) > 1 else FACADE


def module_of(path: Path) -> str:
    steps = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(step for step in steps if step != "__init__")


def imports(source: str, module: str, *, is_package: bool) -> Iterator[tuple[str, int]]:
    """Yield the dotted name and line of everything that a source file imports, wherever it stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".") if is_package else module.split(".")[:-1]
                base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
            for alias in node.names:
                yield f"{base}.{alias.name}", node.lineno


def allowed(importer: str, imported: str) -> bool:
    if importer == imported:
        return True
    if importer == FACADE:
        return RANK[imported] <= RANK["async_client"]
    if imported == FACADE:
        return RANK[importer] == len(LAYERS)
    if RANK[importer] == RANK[imported] == len(LAYERS):
        return (importer, imported) in BETWEEN_EDGES
    return RANK[importer] >= RANK[imported]


def offences() -> Iterator[str]:
    for path in sorted(ROOT.rglob("*.py")):
        module = module_of(path)
        for imported, line in imports(path.read_text(), module, is_package=path.name == "__init__.py"):
            if imported.split(".")[0] != "awa":
                continue
            importer, target = part_of(module), part_of(imported)
            if not (importer == FACADE or importer in RANK):
                yield f"{path}: {importer} is in no layer; add it to LAYERS in {__file__}"
            elif target not in RANK and target != FACADE:
                yield f"{path}:{line}: imports awa.{target}, which is in no layer"
            elif not allowed(importer, target):
                yield f"{path}:{line}: {importer} must not import {target}"


def test_imports_only_point_left() -> None:
    assert list(offences()) == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    modules = {module_of(path): path for path in ROOT.rglob("*.py")}
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        found = imports(path.read_text(), module, is_package=path.name == "__init__.py")
        named = {name if name in modules else name.rpartition(".")[0] for name, _ in found}
        graph[module] = (named & set(modules)) - {module, FACADE}
    assert graph["awa.client"] >= {"awa.jobs", "awa.database.schema"}
    TopologicalSorter(graph).prepare()  # raises CycleError, with the circle


def test_an_upward_import_is_seen_wherever_it_hides() -> None:
    source = (
        "def late():\n    from ..supervisor import loop\n    import awa.cli.work\n    from awa import worker, errors\n"
    )
    found = [name for name, _ in imports(source, "awa.engine.claim", is_package=False)]
    assert found == ["awa.supervisor.loop", "awa.cli.work", "awa.worker", "awa.errors"]
    assert [allowed("engine", part_of(name)) for name in found] == [False, False, False, True]


def test_edges_know_each_other_only_as_listed() -> None:
    assert allowed("cli", "embedded")
    assert not allowed("embedded", "cli")
    assert not allowed("integrations", "embedded")
    assert allowed("testing", "supervisor")


def test_only_edges_go_through_the_front_door() -> None:
    assert allowed("demo", FACADE)
    assert not allowed("engine", FACADE)
    assert not allowed(FACADE, "supervisor")
