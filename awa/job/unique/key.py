"""The 16 bytes by which equal jobs are known.

    key = BLAKE3(kind ‖ [00 queue] ‖ [00 canonical args] ‖ [00 period, 64 bits, little-endian])[:16]

Each bracket is there only where the options say by_queue, by_args, by_period. Other languages make the same keys
(docs/reference/unique-keys.md), so the derivation never changes.
"""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import Any, Final

from awa.errors import ValidationError
from awa.job.codec import decode, encode_args
from awa.job.codec.canonical import canonical, canonical_of
from awa.job.unique.options import UniqueOptions, period_number

KEY_BYTES: Final = 16


def key_for(kind: str, queue: str, args_json: bytes, options: UniqueOptions, *, is_in_order: bool = False) -> bytes:
    """Return the unique key of a job with these args, which are JSON as `encode_args` makes it.

    `is_in_order`: the keys of every object in it stand in their order.
    Raises ValidationError when `by_args` names an arg that is not there.
    """
    parts = [kind.encode()]
    if options.by_queue:
        parts.append(queue.encode())
    if options.by_args is True:
        parts.append(canonical_of(args_json, is_in_order=is_in_order))
    elif options.by_args:
        parts.append(_chosen(args_json, options.by_args))
    return _digest(parts, options.by_period)


def unique_key(
    kind: str, args: object = None, *, queue: str | None = None, period: int | timedelta | None = None
) -> bytes:
    """Return the unique key of jobs of `kind` with these args, in this queue, in this period: 16 bytes.

    What is None plays no part in the key, just as by_args=False, by_queue=False and by_period=None leave it out.

    Args:
        kind: the kind of the jobs.
        args: what `insert` takes; for jobs inserted with by_args=["user_id"] an object with `user_id` alone.
        queue: for jobs inserted with by_queue=True, their queue.
        period: for jobs inserted with by_period, the number of the period, or a timedelta: the period we are in.

    Raises:
        ValidationError: no job can have such args, or another value is not what it must be.
        OverflowError: the number of the period does not fit into 64 bits.
    """
    parts = [_text(kind, "kind")]
    if queue is not None:
        parts.append(_text(queue, "queue"))
    if args is not None:
        parts.append(canonical_of(encode_args(args)))
    return _digest(parts, period_number(period, name="period"))


def _chosen(args_json: bytes, names: tuple[str, ...]) -> bytes:
    args = decode(args_json)
    try:
        return canonical({name: args[name] for name in names})
    except KeyError as missing:
        there = ", ".join(args) or "none at all"
        raise ValidationError(
            f"unique_opts by_args names {missing.args[0]!r}, which is not among the args of this job: {there:.200}"
        ) from None


def _digest(parts: list[bytes], period: int | None) -> bytes:
    if period is not None:
        parts.append(period.to_bytes(8, "little", signed=True))
    key: bytes = _hasher()(b"\0".join(parts)).digest(length=KEY_BYTES)
    return key


@lru_cache(maxsize=1)
def _hasher() -> Any:
    from blake3 import blake3  # loaded here, since many programs import awa and never make a key

    return blake3


def _text(value: Any, name: str) -> bytes:
    if not isinstance(value, str) or not value:
        raise ValidationError(f"{name} is {value!r:.100}; it must be text")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise ValidationError(
            f"{name} is {value!r:.100}, which holds a lone surrogate: that is not valid text"
        ) from None
