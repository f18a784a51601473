"""Finds the value that cannot become JSON, and its place. Runs only when the quick check found something unusual."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NoReturn
from uuid import UUID

import msgspec

from awa.errors import ValidationError
from awa.job.codec.shapes import shape_of

DEPTH_MAX = 64
"""Deepest nesting of lists and objects."""
INT_MIN = -(2**63)
INT_MAX = 2**63 - 1
_SURROGATE = re.compile("[\ud800-\udfff]")
_PATH_SHOWN_MAX = 200


def refuse_unfit(value: object, path: str, depth: int = DEPTH_MAX) -> None:
    """Raise ValidationError for the first part of `value` that cannot be stored; `path` is the name of the whole."""
    plain = shape_of(type(value)).attributes is None
    match value:
        case None | bool() | datetime() | date() | time() | timedelta() | UUID() | msgspec.UnsetType():
            return
        case str() if plain:
            _check_text(value, path)
        case int() if plain:
            _check_int(value, path)
        case float() if plain:
            _check_finite(math.isfinite(value), value, path)
        case Decimal():
            _check_finite(value.is_finite(), value, path)
        case bytes() | bytearray() | memoryview():
            _refuse(path, f"is {type(value).__name__}, which JSON has no form for; send text (base64, hex) instead")
        case Set() if not isinstance(value, Mapping):
            _refuse(path, f"is a {type(value).__name__}, which has no order; send a sorted list instead")
        case _:
            if depth <= 0:
                _refuse(path, f"is nested deeper than {DEPTH_MAX} levels (or contains itself)")
            _check_inside(value, path, depth - 1)


def dump_model(model: Any, path: str) -> Any:
    """Return what a pydantic model says its JSON form is. Raises ValidationError when the model cannot say."""
    try:
        return model.model_dump(mode="json")
    except Exception as problem:
        raise ValidationError(f"{path} cannot be dumped by {type(model).__qualname__}: {problem}") from problem


def _check_inside(value: Any, path: str, depth: int) -> None:
    if shape_of(type(value)).is_pydantic:
        refuse_unfit(dump_model(value, path), path, depth)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            refuse_unfit(item, _check_key(key, path), depth)
    elif isinstance(value, (list, tuple)):
        for at, item in enumerate(value):
            refuse_unfit(item, f"{path}[{at}]", depth)
    else:
        _check_attributes(value, path, depth)


def _check_attributes(value: object, path: str, depth: int) -> None:
    shape = shape_of(type(value))
    if shape.attributes is None:
        _refuse(path, f"is {_shown(value)}, an object with no JSON form; send its id, or the fields that matter")
    for name in shape.attributes:
        where = path if shape.is_enum else f"{path}.{name}"
        if name in shape.lost:
            _refuse(where, "is a private attribute of an attrs class, which would be lost; give it a public name")
        refuse_unfit(getattr(value, name, None), where, depth)


def _check_key(key: object, path: str) -> str:
    """Return the path of the item under `key`."""
    if not isinstance(key, str):
        _refuse(path, f"has the key {_shown(key)}; keys of a JSON object are text, use {json.dumps(str(key)[:60])}")
    where = f"{path}.{key}" if key.isidentifier() else f"{path}[{json.dumps(key)[:60]}]"
    _check_text(key, where)
    return where


def _check_text(text: str, path: str) -> None:
    if "\0" in text:
        _refuse(path, f"contains NUL (at {text.index(chr(0))}), which Postgres cannot store; remove it")
    if found := _SURROGATE.search(text):
        _refuse(path, f"contains the lone surrogate {found.group()!r} (at {found.start()}), which is not valid text")


def _check_int(number: int, path: str) -> None:
    if not INT_MIN <= number <= INT_MAX:
        shown = str(number) if abs(number) < 10**40 else f"an integer of {number.bit_length()} bits"
        _refuse(path, f"is {shown}, beyond 64 bits; send it as text")


def _check_finite(finite: bool, number: object, path: str) -> None:
    if not finite:
        _refuse(path, f"is {number}, which JSON has no number for; send None or text instead")


def _shown(value: object) -> str:
    """Name a value by type, and show it if that is short and safe."""
    simple = isinstance(value, (int, float, bytes, type(None)))
    return f"{value!r:.40} ({type(value).__qualname__})" if simple else f"of type {type(value).__qualname__}"


def _refuse(path: str, why: str) -> NoReturn:
    if len(path) > _PATH_SHOWN_MAX:
        path = f"{path[: _PATH_SHOWN_MAX // 2]}…{path[-_PATH_SHOWN_MAX // 2 :]}"
    raise ValidationError(f"{path} {why}")
