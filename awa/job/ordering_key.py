"""Ordering keys: jobs of one queue with one key start in the order of their insertion. A key is some bytes."""

from __future__ import annotations

from typing import Any, Final

from awa.errors import ValidationError

KEY_BYTES_MAX: Final = 1_000
_BITS_64: Final = 2**64 - 1


def ordering_key_bytes(value: Any) -> bytes | None:
    """Return the ordering key of a job: of text its UTF-8, of a list of integers the bytes they are; None for None.

    Raises ValidationError when it is none of these, longer than 1,000 bytes, or empty. (An empty one is nearly always
    a field that was left unfilled, and would put all such jobs into one line.)
    """
    if value is None:
        return None
    key = key_bytes(value, "ordering_key")
    if not key:
        raise ValidationError(
            "ordering_key is empty; jobs that need no order have None, all others what they belong to"
        )
    if len(key) > KEY_BYTES_MAX:
        raise ValidationError(
            f"ordering_key takes {len(key):,} bytes, more than the limit of {KEY_BYTES_MAX:,}; "
            f"use an id, or a hash of what the jobs belong to"
        )
    return key


def key_bytes(value: Any, name: str) -> bytes:
    """Return the bytes of a key, however many. Raises ValidationError that calls it `name`."""
    if isinstance(value, str):
        return _utf8(value, name)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, (list, tuple)) and all(map(_is_byte, value)):
        return bytes(value)
    raise ValidationError(f"{name} is {value!r:.100}; it must be text, bytes, or a list of integers from 0 to 255")


def partition_of(key: bytes, partitions: int) -> int:
    """Return which of so many partitions a key belongs to: the same in every language, so this never changes."""
    return mixed(key_hash(key)) % partitions


def key_hash(key: bytes) -> int:
    """Return 64 bits of hash, with the constants of FNV, but multiplying and then adding (which FNV is not)."""
    bits = 14695981039346656037
    for byte in key:
        bits = (bits * 1099511628211 + byte) & _BITS_64
    return bits


def mixed(bits: int) -> int:
    """Return `bits` stirred by splitmix64's finalizer, so that similar keys part ways."""
    bits ^= 0x9D4D1B2F53A70C91
    bits = ((bits ^ bits >> 30) * 0xBF58476D1CE4E5B9) & _BITS_64
    bits = ((bits ^ bits >> 27) * 0x94D049BB133111EB) & _BITS_64
    return bits ^ bits >> 31


def _utf8(text: str, name: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValidationError(
            f"{name} is {text!r:.100}, which holds a lone surrogate: that is not valid text"
        ) from None


def _is_byte(item: Any) -> bool:
    return isinstance(item, int) and not isinstance(item, bool) and 0 <= item <= 255
