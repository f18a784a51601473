"""The rooms of the package stand in one order, and every module imports only from its own room and from those before.

At the top of the package lie files that applications import. Rooms import those of them that import nothing but the
first room and each other; the others are edges, which no room imports. No modules import each other in a circle,
however late.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import awa

ROOT = Path(awa.__file__).parent
FACADE = "awa"
"""awa/__init__.py, the contents page: it names things of every room up to the last of the library's."""
FLASKS = {"_get_current_object"}
"""Documented by Flask, for all its underscore."""
TOP = "the top"
"""Where the files at the top stand that rooms import."""
ORDER = (
    *("text", TOP, "job", "task", "telemetry", "processes", "embedded", "database", "engine", "enqueue", "worker"),
    *("client", "supervisor"),
    *("demo", "bench", "cli", "integrations"),
)
EDGES = ORDER[ORDER.index("supervisor") + 1 :]
"""Rooms that use Awa as an application does: they may come in by the front door."""


def folders() -> set[str]:
    return {path.parent.name for path in ROOT.glob("*/__init__.py")}


def room_of(module: str) -> str:
    """Return the room that a dotted name lies in: awa.engine.claim → engine. A file at the top is one of its own."""
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


def all_imports() -> Iterator[tuple[str, str, str]]:
    """Yield importing module, imported name and place of all imports of Awa by Awa."""
    for path in sorted(ROOT.rglob("*.py")):
        module = module_of(path)
        for imported, line in imports(path.read_text(), module, is_package=path.name == "__init__.py"):
            if imported.split(".")[0] == FACADE:
                yield module, imported, f"{path}:{line}"


def rank(room: str) -> int:
    """Return where a room stands; files at the top stand together."""
    return ORDER.index(room if room in ORDER else TOP)


def allowed(importer: str, imported: str, used_by_rooms: set[str]) -> bool:
    """Return True if the room `importer` may import from `imported`.

    `used_by_rooms`: the files at the top that some room imports.
    """
    if importer == imported:
        return True
    if imported == FACADE:
        return importer in EDGES
    if importer == FACADE:
        return imported not in ORDER or rank(imported) <= rank("client")
    if importer not in ORDER and importer not in used_by_rooms:
        return True  # an edge at the top
    return rank(imported) <= rank(importer)


def test_every_folder_is_a_room() -> None:
    assert folders() == set(ORDER) - {TOP}


def test_imports_only_point_back() -> None:
    found = [(room_of(module), room_of(imported), place) for module, imported, place in all_imports()]
    used_by_rooms = {imported for importer, imported, _ in found if importer in ORDER}
    offences = [
        f"{place}: {importer} must not import {imported}"
        for importer, imported, place in found
        if not allowed(importer, imported, used_by_rooms)
    ]
    assert offences == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    modules = {module_of(path) for path in ROOT.rglob("*.py")}
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for module, imported, _ in all_imports():
        found = imported if imported in modules else imported.rpartition(".")[0]
        graph[module] |= {found} - {module, FACADE}
    assert graph["awa.client.client"] >= {"awa.client.jobs", "awa.database.schema.chain"}
    TopologicalSorter(graph).prepare()  # raises CycleError, with the circle


def test_nothing_is_imported_by_a_string_to_get_round_the_order() -> None:
    """Modules are imported by name where the name is the user's: an application, a framework of two."""
    users = {"worker/app.py", "processes/forkserver/__main__.py", "integrations/django/roots.py"}
    users |= {"integrations/django/results.py", "__init__.py"}
    found = {str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py") if "import_module" in path.read_text()}
    assert found == users


def test_integrations_use_no_private_names() -> None:
    """What a web framework's side needs of the rest has a name without an underscore."""
    offences = []
    for path in sorted((ROOT / "integrations").rglob("*.py")):
        tree = ast.parse(path.read_text())
        own = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_own(node)}
        own |= {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in own | FLASKS:
                offences.append(f"{path}:{node.lineno}: {ast.unparse(node)}")
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(FACADE):
                offences += [f"{path}:{node.lineno}: {each.name}" for each in node.names if is_private(each.name)]
    assert offences == []


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def is_own(node: ast.Attribute) -> bool:
    """Return True for an attribute that this file sets on an object of its own: `self._client = …`."""
    return isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name) and node.value.id == "self"


def test_every_room_says_what_it_is_for() -> None:
    """In its `__init__.py`: what it is for, what comes in and what goes out."""
    silent = [
        str(path)
        for path in sorted(ROOT.glob("**/__init__.py"))
        if path.parent != ROOT and not is_described(ast.get_docstring(ast.parse(path.read_text())) or "")
    ]
    assert silent == []


def is_described(text: str) -> bool:
    words = " ".join(text.split())
    return "In: " in words and "Out: " in words


def test_an_import_of_a_later_room_is_seen_wherever_it_hides() -> None:
    source = (
        "def late():\n    from ..supervisor import loop\n    import awa.cli.work\n    from awa import worker, errors\n"
    )
    found = [name for name, _ in imports(source, "awa.engine.claim", is_package=False)]
    assert found == ["awa.supervisor.loop", "awa.cli.work", "awa.worker", "awa.errors"]
    assert [allowed("engine", room_of(name), {"errors"}) for name in found] == [False, False, False, True]


def test_only_edges_come_in_by_the_front_door() -> None:
    assert allowed("demo", FACADE, set())
    assert not allowed("engine", FACADE, set())
    assert not allowed(FACADE, "supervisor", set())


def test_a_file_at_the_top_that_rooms_import_imports_no_room_but_the_first() -> None:
    assert allowed("bridge", "engine", set())
    assert not allowed("bridge", "engine", {"bridge"})
    assert allowed("settings", "text", {"settings"})
