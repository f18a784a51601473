"""Canonical JSON: json.dumps with sorted keys, but for numbers; the rules one by one, and then any document."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from awa.errors import SerializationError
from awa.job.codec import DEPTH_MAX, decode, encode
from awa.job.codec.canonical import canonical, canonical_of, float_text
from awa.job.codec.refusal import INT_MAX, INT_MIN

INTEGERS = st.integers(INT_MIN, INT_MAX)
LEAVES = st.none() | st.booleans() | INTEGERS | st.text()
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def documents(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


def dumped(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (0.1, "0.1"),
        (0.0001, "0.0001"),
        (1e-5, "0.00001"),
        (-1e-5, "-0.00001"),
        (1.2345e-5, "0.000012345"),
        (-9.999999999999999e-5, "-0.00009999999999999999"),
        (1e-6, "1e-6"),
        (1.5e-7, "1.5e-7"),
        (-2.5e-10, "-2.5e-10"),
        (1e15, "1000000000000000.0"),
        (1e16, "1e+16"),
        (1e22, "1e+22"),
        (1e100, "1e+100"),
        (1e-100, "1e-100"),
        (5e-324, "5e-324"),
        (sys.float_info.max, "1.7976931348623157e+308"),
        (math.nan, "null"),
        (math.inf, "null"),
        (-math.inf, "null"),
    ],
)
def test_floats(value: float, text: str) -> None:
    assert float_text(value) == text
    assert canonical([value]) == f"[{text}]".encode()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (INT_MAX, "9223372036854775807"),
        (INT_MIN, "-9223372036854775808"),
        (INT_MAX + 1, "9.223372036854776e+18"),
        (INT_MIN - 1, "-9.223372036854776e+18"),
        (10**100, "1e+100"),
        (10**400, "null"),
    ],
)
def test_integers_beyond_64_bits_become_floats(value: int, text: str) -> None:
    assert canonical({"n": value}) == f'{{"n":{text}}}'.encode()
    assert canonical_of(f'{{"n":{value}}}'.encode()) == f'{{"n":{text}}}'.encode()


def test_control_characters_are_escaped_and_nothing_else() -> None:
    text = "".join(map(chr, range(0x20))) + '"\\/\x7f\x80\u2028\u2029é日本😀\ufffd'
    assert canonical(text).decode() == (
        '"\\u0000\\u0001\\u0002\\u0003\\u0004\\u0005\\u0006\\u0007\\b\\t\\n\\u000b\\f\\r\\u000e\\u000f'
        "\\u0010\\u0011\\u0012\\u0013\\u0014\\u0015\\u0016\\u0017\\u0018\\u0019\\u001a\\u001b\\u001c\\u001d\\u001e\\u001f"
        '\\"\\\\/\x7f\x80\u2028\u2029é日本😀\ufffd"'
    )


def test_keys_stand_by_code_point_on_every_level() -> None:
    # In UTF-16, which other languages sort by, the emoji would come before U+FFFD.
    value = {"\ufffd": 1, "😀": {"b": [{"z": 1, "A": 2}], "a": 3}, "é": 4, "z": 5, "Z": 6, "": 7}
    assert canonical(value).decode() == '{"":7,"Z":6,"z":5,"é":4,"\ufffd":1,"😀":{"a":3,"b":[{"A":2,"z":1}]}}'


def test_the_deepest_document_there_can_be() -> None:
    value: Any = 1e-6
    for level in range(DEPTH_MAX):
        value = [value] if level % 2 else {"a": value}
    raw = encode(value)
    assert canonical_of(raw) == canonical(value) == raw.replace(b"1e-06", b"1e-6")


def test_what_is_no_json_is_said_to_be_none() -> None:
    with pytest.raises(SerializationError, match="stored document of 5 bytes is not JSON"):
        canonical_of(b'{"a":')


@given(documents(LEAVES))
def test_without_floats_it_is_what_the_standard_library_writes(value: Any) -> None:
    assert canonical(value) == dumped(value)


@given(documents(LEAVES | FLOATS))
@example({"a": "1.5", "b": [1e-5]})
@example([1e300, 1e-300, INT_MAX, INT_MIN])
def test_stored_bytes_and_the_value_they_hold_have_one_form(value: Any) -> None:
    raw = dumped(value)
    assert canonical_of(raw) == canonical(value) == canonical(decode(canonical(value)))


@given(FLOATS)
def test_a_float_reads_back_as_itself_and_stays_a_float(number: float) -> None:
    text = float_text(number)
    assert float(text) == number
    assert type(json.loads(text)) is float
    assert "e-0" not in text
    assert "e+0" not in text
    if abs(number) >= 1e-4 and "e" not in repr(number):
        assert text == repr(number)


@given(st.dictionaries(st.text(), st.integers(0, 9), min_size=2), st.randoms())
def test_the_order_in_which_keys_came_makes_no_difference(value: dict[str, int], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert canonical(dict(items)) == canonical(value)
    assert list(json.loads(canonical(value))) == sorted(value)
