"""Load the application: `--app package.module:client`.

Runs in the forkserver, once; the workers forked from it find the application in `loaded()`.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any, Protocol

from awa.errors import AppLoadError
from awa.processes.memory import can_cap
from awa.task import Registry


class App(Protocol):
    """What the supervisor needs of an application's client."""

    @property
    def registry(self) -> Registry:
        """Its tasks."""
        ...

    @property
    def dsn(self) -> str | None:
        """Its database, if it names one."""
        ...


_loaded: App | None = None


def boot(message: dict[str, Any]) -> dict[str, Any]:
    """Load the application named in `message["app"]`; return what the supervisor wants to know of it."""
    global _loaded
    _loaded = load(message["app"])
    registry = _loaded.registry
    return {
        "dsn": _loaded.dsn,
        "kinds": registry.kinds,
        "queues": registry.queues,
        "warnings": _uncapped(registry),
    }


def loaded() -> App:
    """Return the application that `boot` loaded."""
    assert _loaded is not None, "no application has been loaded in this process"
    return _loaded


def load(spec: str) -> App:
    """Import `package.module:attribute` and return the client it names.

    Raises AppLoadError that says what to write; errors raised by the application's own code pass through.
    """
    module_name, _, path = spec.partition(":")
    if not module_name or not path:
        raise AppLoadError(f"--app {spec!r} names no client: write it as package.module:client")
    found = _follow(_import(module_name, spec), path, spec)
    if not isinstance(getattr(found, "registry", None), Registry):
        raise AppLoadError(f"--app {spec!r} is a {type(found).__name__}, not an awa.Client; name the client itself")
    if not len(found.registry):
        raise AppLoadError(
            f"--app {spec!r} has no tasks: decorate a function with @{path}.task(...) in {module_name}, or import the "
            "modules that do it there"
        )
    _refuse_nested(found.registry)
    client: App = found
    return client


def _uncapped(registry: Registry) -> list[str]:
    """Say which limits cannot be kept here."""
    kinds = [task.kind for task in registry if task.policy.memory_limit_mb is not None]
    if not kinds or can_cap():
        return []
    return [
        f"this system does not limit the memory of a process, so memory_limit_mb of {', '.join(kinds)} has no effect"
    ]


def _import(module_name: str, spec: str) -> Any:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise AppLoadError(
                f"--app {spec!r}: there is no module {error.name!r} in {os.getcwd()} nor on the Python path"
            ) from error
        raise


def _follow(module: Any, path: str, spec: str) -> Any:
    found = module
    for name in path.split("."):
        if not hasattr(found, name):
            raise AppLoadError(f"--app {spec!r}: {getattr(found, '__name__', found)!r} has no attribute {name!r}")
        found = getattr(found, name)
    return found


def _refuse_nested(registry: Registry) -> None:
    """A handler inside a function exists only while somebody calls that function, so a fresh start may not have it."""
    for task in registry:
        if "<locals>" in task.handler.__qualname__:
            why = "it is defined inside another function. Move it to module level"
        elif "<lambda>" in task.handler.__qualname__:
            why = "a lambda has no name. Define it with def"
        else:
            continue
        raise AppLoadError(f"the handler of {task.kind!r}, {task.name}, cannot be imported: {why}")
