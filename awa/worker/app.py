"""Load the application: `--app package.module:client`, or `package.module:create_app()`.

Runs in the forkserver, once; the workers forked from it find the application in `loaded()`.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from typing import Any, Final, Protocol

from awa.errors import AppLoadError
from awa.processes.memory import can_cap
from awa.task.registry import Registry
from awa.telemetry import log

CALL: Final = "()"


class App(Protocol):
    """The parts of an application's client that the supervisor needs."""

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
    """Load the application named in `message["app"]`; return what the supervisor wants to know of it.

    What it logs meanwhile is printed as `message["log_format"]` and `message["log_level"]` say.
    """
    global _loaded
    log.take_unhandled(message["log_format"], message["log_level"], "loader")
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
    """Import `package.module:attribute` and return the client it names, or leads to.

    `attribute` may be a path, and what stands before a `()` is called: `shop:create_app()`.

    Raises AppLoadError that says what to write; errors raised by the application's own code pass through.
    """
    module_name, _, path = spec.partition(":")
    if not module_name or not path:
        raise AppLoadError(f"--app {spec!r} names no client: write it as package.module:client")
    if "/" in module_name or module_name.startswith("."):
        meant = module_name.removesuffix(".py").strip("./").replace("/", ".")
        raise AppLoadError(
            f"--app {spec!r} names a file: write the module as it is imported, with dots: {meant}:{path}"
        )
    found = _follow(_import(module_name, spec), path, spec)
    client = _client_of(found)
    if client is None:
        raise AppLoadError(f"--app {spec!r} is {_not_a_client(found, spec)}")
    if not len(client.registry):
        decorator = f"@{path}.task(...)" if client is found else "the task(...) of its client"
        raise AppLoadError(
            f"--app {spec!r} has no tasks: decorate a function with {decorator} in {module_name}, or import the "
            "modules that do it there"
        )
    _refuse_nested(client.registry, in_factory=path.endswith(CALL))
    return client


def _client_of(found: Any) -> App | None:
    """Return the client that `found` is or leads to: by an attribute `awa_client`, or as an extension of a web
    application."""
    if isinstance(getattr(found, "registry", None), Registry):
        client: App = found
        return client
    if (next_one := getattr(found, "awa_client", None)) is None:
        next_one = _of_extension(found)
    return None if next_one is None else _client_of(next_one)


def _of_extension(found: Any) -> Any:
    """Return what the extension `awa` of a web application leads to; one that serves several is asked for this one."""
    extensions = getattr(found, "extensions", None)
    extension = extensions.get("awa") if isinstance(extensions, dict) else None
    client_of = getattr(extension, "client_of", None)
    return extension if client_of is None else client_of(found)


def _not_a_client(found: Any, spec: str) -> str:
    if inspect.isroutine(found):
        return f"a function; to have it called, write {spec}{CALL}"
    return (
        f"a {type(found).__name__}, not an awa.Client, and leads to none (by an attribute awa_client, or "
        'extensions["awa"]); name the client itself'
    )


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
    for step in path.split("."):
        name = step.removesuffix(CALL)
        if not hasattr(found, name):
            raise AppLoadError(f"--app {spec!r}: {getattr(found, '__name__', found)!r} has no attribute {name!r}")
        found = getattr(found, name)
        if step != name:
            found = _called(found, name, spec)
    return found


def _called(factory: Any, name: str, spec: str) -> Any:
    """Return what `factory` makes, without arguments. What it raises when it does run is the application's."""
    if not callable(factory):
        raise AppLoadError(f"--app {spec!r}: {name} is a {type(factory).__name__}, which cannot be called")
    try:
        inspect.signature(factory).bind()
    except TypeError as error:
        raise AppLoadError(f"--app {spec!r}: {name}() is called without arguments, and wants some: {error}") from error
    except ValueError:
        pass  # written in C, it does not say what it takes
    return factory()


def _refuse_nested(registry: Registry, *, in_factory: bool) -> None:
    """A handler inside a function exists only while that function is called, so a fresh start may not have it,
    unless that function is the factory, which every start calls."""
    for task in registry:
        if "<locals>" in task.handler.__qualname__ and not in_factory:
            why = "it is defined inside another function. Move it to module level"
        elif "<lambda>" in task.handler.__qualname__:
            why = "a lambda has no name. Define it with def"
        else:
            continue
        raise AppLoadError(f"the handler of {task.kind!r}, {task.name}, cannot be imported: {why}")
