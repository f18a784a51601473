"""The setting `AWA`, once: its keys, their defaults, and what is wrong with what was written there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.conf import settings

from awa.errors import ValidationError
from awa.job.validate import check_name
from awa.settings import SETTINGS
from awa.text.suggest import hint

DEFAULTS: Final[dict[str, Any]] = {
    "DATABASE": "default",
    "QUEUES": None,
    "MANAGE_SCHEMA": True,
    "TASK_MODULES": ["tasks"],
    "SUPERVISOR": {},
}
"""
DATABASE: the alias in DATABASES where the jobs are.
QUEUES: what workers take jobs from; None: the queues of all tasks, and those of django.tasks that Awa is a backend of.
MANAGE_SCHEMA: whether `manage.py migrate` installs and upgrades Awa's schema.
TASK_MODULES: modules of each installed app that are imported at start, so that their tasks are known.
SUPERVISOR: defaults for the options of `manage.py awa_supervisor`, by name: {"processes": 4}.
"""
FROM_DJANGO: Final = frozenset({"app", "database_url", "queues"})
"""Settings of the supervisor that follow from the project, not from AWA["SUPERVISOR"]."""


def conf(key: str) -> Any:
    """Return what the project says about `key`, or its default."""
    return given().get(key, DEFAULTS[key])


def alias() -> str:
    """Return the alias of the database that jobs are in."""
    return str(conf("DATABASE"))


def given() -> dict[str, Any]:
    """Return the setting as it was written; what is no dict says nothing, and `problems` says so."""
    written = _written()
    return written if isinstance(written, dict) else {}


def task_modules() -> list[str]:
    """Return the names of modules to look for tasks in; none when they are no names, and `problems` says so."""
    names = conf("TASK_MODULES")
    return list(names) if isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names) else []


def supervisor_options() -> dict[str, Any]:
    """Return the project's defaults for the supervisor: its settings' names, and their values as text."""
    options = {name: _as_text(value) for name, value in conf("SUPERVISOR").items()}
    if queues := conf("QUEUES"):
        options["queues"] = ",".join(queues)
    return options


def unknown_keys() -> list[str]:
    """Return the keys that mean nothing."""
    return sorted(str(key) for key in given().keys() - DEFAULTS.keys())


def problems() -> Iterator[str]:
    """Yield what is wrong with the values of known keys."""
    if not isinstance(_written(), dict):
        yield f"the setting AWA is {_written()!r}; it must be a dict with keys of {', '.join(DEFAULTS)}"
    if not isinstance(conf("DATABASE"), str):
        yield f'AWA["DATABASE"] is {conf("DATABASE")!r}; it must be an alias in DATABASES'
    if not isinstance(conf("MANAGE_SCHEMA"), bool):
        yield f'AWA["MANAGE_SCHEMA"] is {conf("MANAGE_SCHEMA")!r}; it must be True or False'
    yield from _wrong_names("TASK_MODULES", conf("TASK_MODULES"))
    if conf("QUEUES") is not None:
        yield from _wrong_names("QUEUES", conf("QUEUES"))
    yield from _wrong_options(conf("SUPERVISOR"))


def _written() -> Any:
    return getattr(settings, "AWA", None) or {}


def _wrong_names(key: str, names: Any) -> Iterator[str]:
    if not isinstance(names, (list, tuple)):
        yield f"AWA[{key!r}] is {names!r}; it must be a list of names"
        return
    for name in names:
        try:
            check_name(key, name)
        except ValidationError as refusal:
            yield f"AWA[{key!r}]: {refusal}"


def _wrong_options(options: Any) -> Iterator[str]:
    if not isinstance(options, dict):
        yield f'AWA["SUPERVISOR"] is {options!r}; it must be a dict of the supervisor\'s settings'
        return
    known = {setting.name: setting for setting in SETTINGS if setting.name not in FROM_DJANGO}
    for name, value in options.items():
        if name not in known:
            yield f'AWA["SUPERVISOR"] has {name!r}, which is no setting; {hint(str(name), known)}'
            continue
        try:
            known[name].read(value, f'AWA["SUPERVISOR"][{name!r}]')
        except ValidationError as refusal:
            yield str(refusal)


def _as_text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
