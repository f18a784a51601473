"""JSON to Python, straight from the bytes into the type a handler asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import lru_cache
from typing import Any, is_typeddict

import msgspec

from awa.errors import SerializationError
from awa.job.codec.digits import may_hold_long
from awa.job.codec.refusal import INT_MAX, INT_MIN
from awa.job.codec.shapes import Shape, shape_of

_FLOAT_MAX = int(sys.float_info.max)
_ERRORS_SHOWN_MAX = 5


def decode(raw: bytes | str, into: Any = None) -> Any:
    """Return the value in the JSON document `raw`, as an instance of `into` where that is a type with fields.

    `into` may be a dataclass, an attrs class, a msgspec Struct, a TypedDict or a pydantic model; None, `dict` and
    classes of any other make give plain JSON. Unknown keys are ignored (as far as the type allows), so that a newer
    producer may add a field. Raises TypeError that names the field when the document does not fit, and
    SerializationError when `raw` is not JSON.
    """
    return decoder_for(into)(raw)


def decoder_for(into: Any) -> Callable[[bytes | str], Any]:
    """Return the decoder for `into`; it is built once per type, so asking again is cheap.

    Raises TypeError when `into` has fields of a type that JSON cannot be turned into.
    """
    try:
        return _build(into)
    except Exception as problem:
        raise TypeError(f"JSON cannot be decoded into {_name(into)}: {problem}") from problem


@lru_cache(maxsize=1024)
def _build(into: Any) -> Callable[[bytes | str], Any]:
    shape = shape_of(into) if isinstance(into, type) else Shape(None)
    if shape.is_pydantic:
        return _guarded(_pydantic_model(into), into)
    if hasattr(into, "__pydantic_validator__"):
        return _guarded(_pydantic_dataclass(into), into)
    if is_typeddict(into) or shape.attributes is not None:
        return _guarded(msgspec.json.Decoder(into, dec_hook=_restore).decode, into)
    return _guarded(_plain, into)


def _guarded(read: Callable[[bytes | str], Any], into: Any) -> Callable[[bytes | str], Any]:
    """Turn every way in which `read` can fail into one of the two errors that `decode` promises."""

    def decode_into(raw: bytes | str) -> Any:
        try:
            return read(raw)
        except msgspec.ValidationError as problem:
            raise TypeError(f"args do not fit {_name(into)}: {_with_path(str(problem))}") from problem
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            raise SerializationError(f"stored document of {len(raw)} bytes is not JSON: {problem}") from problem
        except Exception as problem:
            raise TypeError(f"args do not fit {_name(into)}: {_listed(problem, 'args')}") from problem

    return decode_into


def _plain(raw: bytes | str) -> Any:
    value = msgspec.json.decode(raw)
    if may_hold_long(raw.encode() if isinstance(raw, str) else raw):
        return _with_floats(value)
    return value


def _with_floats(value: Any) -> Any:
    """Undo what jsonb does to 1e300: it comes back as an integer of 301 digits, and no integer that long went in."""
    if isinstance(value, int):
        return value if INT_MIN <= value <= INT_MAX or abs(value) > _FLOAT_MAX else float(value)
    if isinstance(value, list):
        return [_with_floats(item) for item in value]
    if isinstance(value, dict):
        return {key: _with_floats(item) for key, item in value.items()}
    return value


def _restore(into: Any, value: Any) -> Any:
    """Build what msgspec does not know inside what it does: a pydantic model in a dataclass."""
    if isinstance(into, type) and shape_of(into).is_pydantic:
        try:
            return into.model_validate(value)  # type: ignore[attr-defined]
        except Exception as problem:
            # msgspec adds to a ValueError where in the whole the model stands.
            raise ValueError(_listed(problem, "")) from problem
    raise TypeError(f"fields of type {_name(into)} cannot be decoded from JSON")


def _pydantic_model(model: Any) -> Callable[[bytes | str], Any]:
    by_name = _by_name()
    return lambda raw: model.model_validate_json(raw, **by_name)


def _pydantic_dataclass(kind: Any) -> Callable[[bytes | str], Any]:
    adapter, by_name = sys.modules["pydantic"].TypeAdapter(kind), _by_name()
    return lambda raw: adapter.validate_json(raw, **by_name)


def _by_name() -> dict[str, bool]:
    """Arguments are dumped by field name; from 2.11 on pydantic reads them back so even where a field has an alias."""
    version = tuple(int(part) for part in sys.modules["pydantic"].VERSION.split(".")[:2])
    return {"by_alias": True, "by_name": True} if version >= (2, 11) else {}


def _with_path(message: str) -> str:
    """Say `args.items[3]` where msgspec says `$.items[3]`."""
    return message.replace("`$", "`args")


def _listed(problem: Exception, root: str) -> str:
    """Render pydantic's list of errors on one line; any other exception by its name and text."""
    errors = getattr(problem, "errors", None)
    if type(problem).__name__ != "ValidationError" or not callable(errors):
        return f"{type(problem).__qualname__}: {problem}"
    found = errors()
    shown = [f"{error['msg']} - at `{root}{_path(error['loc'])}`" for error in found[:_ERRORS_SHOWN_MAX]]
    more = [f"and {len(found) - _ERRORS_SHOWN_MAX} more"] if len(found) > _ERRORS_SHOWN_MAX else []
    return "; ".join(shown + more)


def _path(steps: tuple[str | int, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)


def _name(into: Any) -> str:
    return getattr(into, "__qualname__", repr(into))
