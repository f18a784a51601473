"""JSON in and out."""

from __future__ import annotations

import msgspec


def encode(value: object, *, name: str = "args", bytes_max: int = 1_000_000) -> bytes:
    """Return `value` as JSON."""
    return msgspec.json.encode(value)
