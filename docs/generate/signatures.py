"""Signatures as a reader would write them: no `self`, no module names, no quotes around types."""

from __future__ import annotations

import inspect
import re
from typing import Any

_QUALIFIED = re.compile(r"\b(?:awa|psycopg|psycopg_pool|collections|typing|datetime)(?:\.\w+)*\.(?=\w)")
WIDTH_MAX = 100


def signature(name: str, value: Any) -> str:
    """Return the signature of a function or class, on several lines if it is long."""
    found = inspect.signature(value)
    shown = list(_parameters(found))
    returned = "" if found.return_annotation in (None, "None", found.empty) else f" -> {_type(found.return_annotation)}"
    line = f"{name}({', '.join(shown)}){returned}"
    if len(line) <= WIDTH_MAX:
        return line
    return "\n".join([f"{name}(", *(f"    {each}," for each in shown), f"){returned}"])


def _parameters(found: inspect.Signature) -> list[str]:
    shown: list[str] = []
    for parameter in found.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in shown:
            shown.append("*")
        stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else ""
        text = f"{stars}{parameter.name}"
        if parameter.annotation is not parameter.empty:
            text += f": {_type(parameter.annotation)}"
        if parameter.default is not parameter.empty:
            text += f" = {parameter.default!r}"
        shown.append(text)
    return shown


def _type(annotation: Any) -> str:
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return _QUALIFIED.sub("", text.strip("'"))
