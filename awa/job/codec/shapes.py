"""The shape in which msgspec writes objects of a type: found once per type, since every encode needs it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

import msgspec


class Shape(NamedTuple):
    """The JSON shape of objects of one type."""

    attributes: tuple[str, ...] | None
    """The attributes that stand for the object; None if it is not made of any."""
    lost: frozenset[str] = frozenset()
    """Those of them that msgspec would leave out: the private ones of attrs classes."""
    is_enum: bool = False
    """The one attribute is the value of an Enum, and stands for it by itself."""
    is_pydantic: bool = False
    """A pydantic model, which dumps itself. Told by the methods used here, so that pydantic is never imported."""


def _look(kind: type) -> Shape:
    if hasattr(kind, "model_dump") and hasattr(kind, "model_validate_json"):
        return Shape(None, is_pydantic=True)
    if issubclass(kind, Enum):
        return Shape(("value",), is_enum=True)
    if issubclass(kind, msgspec.Struct):
        return Shape(kind.__struct_fields__)
    if dataclasses.is_dataclass(kind):
        return Shape(tuple(field.name for field in dataclasses.fields(kind)))
    if hasattr(kind, "__attrs_attrs__"):
        names = tuple(attribute.name for attribute in kind.__attrs_attrs__)
        return Shape(names, lost=frozenset(name for name in names if name.startswith("_")))
    return Shape(None)


shape_of: Callable[[type], Shape] = lru_cache(maxsize=4096)(_look)
"""Return the shape of objects of this type."""
