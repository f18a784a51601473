"""Which kind a job has, given its arguments."""

from __future__ import annotations

from awa.errors import ValidationError
from awa.kinds import derive_kind


def kind_of(args: object, kind: str | None = None) -> str:
    """Return `kind` if given, else the one derived from the type of `args`.

    Raises ValidationError when `args` is a dict, whose type says nothing, or a class instead of an instance of one.
    """
    if kind is not None:
        return kind
    if isinstance(args, dict):
        raise ValidationError(
            'args is a plain dict, which does not say which kind of job it is: pass kind="…", the name its handler is '
            "registered by, or an instance of the class the handler takes"
        )
    if isinstance(args, type):
        raise ValidationError(f"args is the class {args.__name__} itself; pass an instance: {args.__name__}(...)")
    return derive_kind(type(args).__name__)
