"""Which kind a job has, given its arguments."""

from __future__ import annotations

from awa.errors import ValidationError
from awa.kinds import derive_kind


def kind_of(args: object, kind: str | None = None) -> str:
    """Return `kind` if given, else the one derived from the type of `args`; "dict" for any dict.

    Raises ValidationError when `args` is a class, which is an instance somebody forgot to create.
    """
    if kind is not None:
        return kind
    if isinstance(args, dict):
        return "dict"
    if isinstance(args, type):
        raise ValidationError(f"args is the class {args.__name__} itself; pass an instance: {args.__name__}(...)")
    return derive_kind(type(args).__name__)
