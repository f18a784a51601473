"""Ordering keys: what can be one, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awa import ValidationError
from awa.job.ordering_key import KEY_BYTES_MAX, key_hash, mixed, ordering_key_bytes, partition_of

VECTORS = [
    (b"", 0xCBF29CE484222325, 0xB2EA36A15B0CA032, (0, 2, 2)),
    (b"a", 0xAF63BD4C8601B840, 0x5C71F4E2F2595D15, (1, 1, 5)),
    (b"customer-42", 0x09A5EB326D8CF08C, 0x21871FA9A580060B, (1, 3, 11)),
    (b"order-1", 0xACEE08594D885479, 0xC06C23F7BB9EBAA7, (1, 3, 7)),
    ("日本".encode(), 0x322B1514C4C98483, 0x19C1C16F57BD07D5, (1, 1, 5)),
    (bytes(range(16)), 0xC74D24E380E0A02D, 0x4C27B6BA97057F2F, (1, 3, 15)),
]


@pytest.mark.parametrize(("key", "bits", "stirred", "partitions"), VECTORS)
def test_golden_vectors(key: bytes, bits: int, stirred: int, partitions: tuple[int, int, int]) -> None:
    assert key_hash(key) == bits
    assert mixed(bits) == stirred
    assert tuple(partition_of(key, count) for count in (2, 4, 16)) == partitions


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (None, None),
        ("customer-42", b"customer-42"),
        ("日本", "日本".encode()),
        (b"\0\xff", b"\0\xff"),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"abcd")[::2], b"ac"),
        ([0, 97, 255], b"\0a\xff"),
        ((1, 2), b"\1\2"),
        ("x" * KEY_BYTES_MAX, b"x" * KEY_BYTES_MAX),
    ],
)
def test_what_can_be_a_key(value: Any, key: bytes | None) -> None:
    made = ordering_key_bytes(value)
    assert made == key
    assert type(made) is type(key)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "ordering_key is empty; jobs that need no order have None"),
        (b"", "ordering_key is empty"),
        ([], "ordering_key is empty"),
        ("x" * 1001, "ordering_key takes 1,001 bytes, more than the limit of 1,000"),
        ("é" * 501, "ordering_key takes 1,002 bytes"),
        ("a\ud800", "ordering_key is 'a\\\\ud800', which holds a lone surrogate"),
        (42, "ordering_key is 42; it must be text, bytes, or a list of integers from 0 to 255"),
        (True, "ordering_key is True; it must be"),
        ([1, 256], "ordering_key is \\[1, 256\\]; it must be"),
        ([-1], "ordering_key is \\[-1\\]; it must be"),
        ([True], "ordering_key is \\[True\\]; it must be"),
        ([1.0], "ordering_key is \\[1.0\\]; it must be"),
        (["a"], "ordering_key is \\['a'\\]; it must be"),
        ({97}, "ordering_key is \\{97\\}; it must be"),
    ],
)
def test_refusals(value: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ordering_key_bytes(value)


@given(st.binary(min_size=1, max_size=40))
def test_every_way_to_give_some_bytes_gives_the_same(key: bytes) -> None:
    assert {ordering_key_bytes(form) for form in (key, bytearray(key), list(key), tuple(key))} == {key}
