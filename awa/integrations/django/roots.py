"""Django's Tasks framework: `django.tasks` (Django 6.0 and later), else its backport, the package django-tasks."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from django.conf import settings

KIND: Final = "django.tasks"
"""All of the framework's tasks are jobs of this kind: a worker runs any that it can import, and need not have heard of
it before."""
BACKEND: Final = "awa.integrations.django.backend.AwaBackend"


def root() -> str | None:
    """Return the module that is the framework here; None without one."""
    return next((name for name in ("django.tasks", "django_tasks") if find_spec(name) is not None), None)


def framework(part: str) -> Any:
    """Return a module of the framework: "base", "signals". Raises ImportError without one."""
    found = root()
    if found is None:
        raise ImportError("Awa's backend needs django.tasks (Django 6.0 or later), or the package django-tasks")
    return import_module(f"{found}.{part}")


def normalized(value: Any) -> Any:
    """Return `value` as the JSON that the framework makes of it. Raises TypeError or ValueError."""
    module = "django.utils.json" if root() == "django.tasks" else "django_tasks.utils"
    return import_module(module).normalize_json(value)


def backends() -> dict[str, dict[str, Any]]:
    """Return the entries of the setting TASKS that name Awa's backend, or a class made from it, by alias."""
    if root() is None:
        return {}
    named = getattr(settings, "TASKS", None) or {}
    return {alias: given for alias, given in named.items() if _is_awas(given.get("BACKEND"))}


def queues_of_backends() -> set[str]:
    """Return the queues that tasks for Awa's backends may be in; of one that takes any queue, the default one."""
    return {queue for given in backends().values() for queue in given.get("QUEUES") or ["default"]}


def _is_awas(path: Any) -> bool:
    if path == BACKEND:
        return True
    module, _, name = str(path).rpartition(".")
    if not module or module.startswith(("django.", "django_tasks.")):
        return False
    try:
        found = getattr(import_module(module), name, None)
    except ImportError:
        return False  # the framework says so when that backend is used
    # Told by its name: the backend's module imports the project's client, and that imports this module.
    bases = found.__mro__ if isinstance(found, type) else ()
    return any(f"{each.__module__}.{each.__qualname__}" == BACKEND for each in bases)
