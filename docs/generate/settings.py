"""The page of settings, from `awa.settings.SETTINGS`."""

from __future__ import annotations

from awa.settings import SETTINGS, Setting
from docs.generate.markdown import code, document, table

INTRODUCTION = """
Every setting of `awa-supervisor` is a flag and an environment variable. A flag wins over the environment, the
environment over the default. An empty value counts as none. The unit stands at the end of a name: ms, s or h.

A value outside what is allowed is refused with a message that names the setting and where the value came from; nothing
is started, and the exit code is 2.
"""


def page() -> str:
    """Return the page."""
    summary = table(
        ("flag", "environment", "default"),
        ((code(setting.flag), code(setting.env), _default(setting)) for setting in SETTINGS),
    )
    return document("Settings of awa-supervisor", INTRODUCTION, summary, *map(_section, SETTINGS))


def _section(setting: Setting) -> str:
    default = "" if setting.default is None else f" Default: {_default(setting)}."
    limits = "" if setting.kind == "text" else f"\n\nAllowed: {setting.allowed}.{default}"
    return f"## `{setting.flag}`\n\n{setting.meaning}{limits}"


def _default(setting: Setting) -> str:
    if setting.default is None:
        return "see below" if setting.kind != "text" else "none"
    return code(setting.default)
