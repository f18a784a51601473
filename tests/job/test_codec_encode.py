"""What becomes JSON, what is refused, and that a refusal says where the value stands."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from collections import OrderedDict, UserDict, deque, namedtuple
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import attrs
import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awa.errors import ValidationError
from awa.job.codec import BYTES_MAX, DEPTH_MAX, encode, encode_args
from awa.job.kind import kind_of


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2.5)
    RAW = b"x"


class Size(str, enum.Enum):
    SMALL = "s"


class Level(enum.IntEnum):
    HIGH = 3


class Markup(str):
    def __str__(self) -> str:
        return "not the text"


class Cents(int):
    pass


class Metres(float):
    pass


class Moment(datetime):
    pass


@dataclasses.dataclass
class Item:
    price: Any
    _hidden: int = 1


@attrs.define
class Parcel:
    weight: Any


@attrs.define
class Sealed:
    _secret: int = 1


class Packet(msgspec.Struct):
    body: Any
    note: str | msgspec.UnsetType = msgspec.UNSET


class Invoice(pydantic.BaseModel):
    total: Any
    on: date = date(2026, 1, 2)


class Reading(pydantic.BaseModel):
    celsius: float


Pair = namedtuple("Pair", "left right")
UTC_PLUS_2 = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ({"a": None, "b": True, "c": -3, "d": 1.5, "e": "ā"}, '{"a":null,"b":true,"c":-3,"d":1.5,"e":"ā"}'),
        ((1, (2, [3])), "[1,[2,[3]]]"),
        (Pair(1, 2), "[1,2]"),
        (2**63 - 1, "9223372036854775807"),
        (-(2**63), "-9223372036854775808"),
        (datetime(2026, 1, 2, 3, 4, 5, 6), '"2026-01-02T03:04:05.000006"'),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc), '"2026-01-02T03:04:05Z"'),
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC_PLUS_2), '"2026-01-02T03:04:05+02:00"'),
        (Moment(2026, 1, 2), '"2026-01-02T00:00:00"'),
        (date(2026, 1, 2), '"2026-01-02"'),
        (time(3, 4), '"03:04:00"'),
        (timedelta(days=1, seconds=2), '"P1DT2S"'),
        (UUID(int=5), '"00000000-0000-0000-0000-000000000005"'),
        (Decimal("1.10"), '"1.10"'),
        (Colour.RED, '"red"'),
        (Colour.PAIR, "[1,2.5]"),
        (Size.SMALL, '"s"'),
        (Level.HIGH, "3"),
        ({Size.SMALL: 1}, '{"s":1}'),
        (OrderedDict(b=1, a=2), '{"a":2,"b":1}'),
        (UserDict(a=1), '{"a":1}'),
        (Item(Item(1)), '{"_hidden":1,"price":{"_hidden":1,"price":1}}'),
        (Parcel([Parcel(2)]), '{"weight":[{"weight":2}]}'),
        (Packet({"a": Item(1)}), '{"body":{"a":{"_hidden":1,"price":1}}}'),
        (Invoice(total=3), '{"on":"2026-01-02","total":3}'),
        ({"i": [Invoice(total=Decimal("1.5"))]}, '{"i":[{"on":"2026-01-02","total":"1.5"}]}'),
        (Item(Invoice(total=None)), '{"_hidden":1,"price":{"on":"2026-01-02","total":null}}'),
        ([Markup("text"), Cents(5), Metres(1.5)], '["text",5,1.5]'),
        ("a literal \\u0000 is only text", '"a literal \\\\u0000 is only text"'),
    ],
)
def test_accepted(value: object, written: str) -> None:
    assert encode(value).decode() == written


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


def looped() -> list[object]:
    loop: list[object] = []
    loop.append({"again": loop})
    return loop


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"items": [0, 1, 2, Item(math.nan)]}, r"args\.items\[3\]\.price is nan, which JSON has no number for"),
        ({"x": math.inf}, r"args\.x is inf"),
        ({"x": [1.0] * 99 + [-math.inf]}, r"args\.x\[99\] is -inf"),
        ({"x": Metres("nan")}, r"args\.x is nan"),
        ({"x": Decimal("NaN")}, r"args\.x is NaN"),
        ({"x": Decimal("-Infinity")}, r"args\.x is -Infinity"),
        ({"x": 2**63}, r"args\.x is 9223372036854775808, beyond 64 bits; send it as text"),
        ({"x": -(2**63) - 1}, r"args\.x is -9223372036854775809"),
        ({"x": [*range(99), 2**64]}, r"args\.x\[99\] is 18446744073709551616"),
        ({"x": 1 << 40_000}, r"args\.x is an integer of 40001 bits"),
        ({"x": Cents(2**63)}, r"args\.x is 9223372036854775808"),
        ({"x": b"raw"}, r"args\.x is bytes, which JSON has no form for; send text \(base64, hex\)"),
        ({"x": bytearray(b"raw")}, r"args\.x is bytearray"),
        ({"x": memoryview(b"raw")}, r"args\.x is memoryview"),
        ({"x": {1}}, r"args\.x is a set, which has no order; send a sorted list"),
        ({"x": frozenset()}, r"args\.x is a frozenset"),
        ({"x": {}.keys()}, r"args\.x is a dict_keys"),
        ({"x": {1: 2}}, r'args\.x has the key 1 \(int\); keys of a JSON object are text, use "1"'),
        ({None: 2}, r"args has the key None \(NoneType\)"),
        ({"x": {Level.HIGH: 2}}, r"args\.x has the key <Level\.HIGH: 3> \(Level\)"),
        ({"x": {UUID(int=1): 2}}, r"args\.x has the key of type UUID"),
        ({"x": "a\0b"}, r"args\.x contains NUL \(at 1\)"),
        ({"a\0": 1}, r'args\["a\\u0000"\] contains NUL'),
        ({"x": ["\udc80"]}, r"args\.x\[0\] contains the lone surrogate '\\udc80' \(at 0\)"),
        ({"\udc80": 1}, r"contains the lone surrogate"),
        ({"odd key": b""}, r'args\["odd key"\] is bytes'),
        ({"x": Colour.RAW}, r"args\.x is bytes"),
        ({"x": Parcel({"y": b""})}, r"args\.x\.weight\.y is bytes"),
        ({"x": Packet([{1}])}, r"args\.x\.body\[0\] is a set"),
        ({"x": Sealed()}, r"args\.x\._secret is a private attribute of an attrs class"),
        (Reading(celsius=math.nan), r"args\.celsius is nan"),
        ({"x": Invoice(total=2**70)}, r"args\.x\.total is 1180591620717411303424"),
        (Invoice(total=object()), r"args cannot be dumped by Invoice"),
        ({"x": object()}, r"args\.x is of type object, an object with no JSON form"),
        ({"x": Item}, r"args\.x is of type type"),
        ({"x": Invoice}, r"args\.x is of type ModelMetaclass"),
        ({"x": deque([1])}, r"args\.x is of type deque"),
        ({"x": 1j}, r"args\.x is of type complex"),
        ({"x": len}, r"args\.x is of type builtin_function_or_method"),
        ({"x": (letter for letter in "text")}, r"args\.x is of type generator"),
        (nested(DEPTH_MAX + 1), rf"is nested deeper than {DEPTH_MAX} levels"),
        (looped(), r"args\[0\]\.again\[0\]\.again.*…*.* is nested deeper than 64 levels \(or contains itself\)"),
    ],
)
def test_refused_with_its_path(value: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        encode(value)


def test_the_whole_is_called_what_the_caller_calls_it() -> None:
    with pytest.raises(ValidationError, match=r"^metadata\.x is bytes"):
        encode({"x": b""}, name="metadata")


def test_the_deepest_nesting_allowed_is_accepted() -> None:
    assert encode(nested(DEPTH_MAX)) == b"[" * DEPTH_MAX + b"1" + b"]" * DEPTH_MAX


def test_brackets_in_text_are_not_nesting() -> None:
    assert json.loads(encode({"x": "[{" * 200})) == {"x": "[{" * 200}


def test_a_document_over_the_limit_is_refused_and_told_its_size() -> None:
    assert len(encode("x" * (BYTES_MAX - 2))) == BYTES_MAX
    with pytest.raises(ValidationError, match="args takes 1,000,001 bytes as JSON, more than the limit of 1,000,000"):
        encode("x" * (BYTES_MAX - 1))
    with pytest.raises(ValidationError, match="limit of 10;"):
        encode(list(range(9)), bytes_max=10)


def test_a_path_too_long_to_read_is_shortened() -> None:
    with pytest.raises(ValidationError) as refused:
        encode({"k" * 5_000: b""})
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("args", [None, 1, "text", [1], Pair(1, 2), Colour.RED])
def test_the_arguments_of_a_job_are_an_object(args: object) -> None:
    with pytest.raises(ValidationError, match=f"args of type {type(args).__name__} are not a JSON object"):
        encode_args(args)


def test_the_kind_comes_from_the_type_unless_it_is_given() -> None:
    assert kind_of(Invoice(total=1)) == "invoice"
    assert kind_of(Invoice(total=1), "bill") == "bill"
    for args in ({"kind": "ignored"}, OrderedDict()):
        assert kind_of(args, "bill") == "bill"
        with pytest.raises(ValidationError, match='args is a plain dict, which does not say which kind.*pass kind="…"'):
            kind_of(args)
    with pytest.raises(ValidationError, match=r"args is the class Invoice itself; pass an instance"):
        kind_of(Invoice)


SAFE_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
SAFE_LEAF = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | SAFE_TEXT
)
SAFE_JSON = st.recursive(SAFE_LEAF, lambda inner: st.lists(inner) | st.dictionaries(SAFE_TEXT, inner), max_leaves=40)
UNFIT = st.sampled_from(
    [math.nan, math.inf, -math.inf, 2**63, -(2**63) - 1, b"", set(), "\0", "\ud800", object()]
) | st.dictionaries(st.integers() | st.none() | st.booleans(), st.none(), min_size=1)


@given(SAFE_JSON)
def test_whatever_json_can_say_is_written_and_means_the_same(value: object) -> None:
    assert json.loads(encode(value)) == value


@given(SAFE_JSON, st.lists(st.integers(0, 40) | SAFE_TEXT, max_size=DEPTH_MAX - 2), UNFIT)
def test_one_unfit_value_anywhere_refuses_the_whole(beside: object, way: list[int | str], unfit: object) -> None:
    value = unfit
    for step in reversed(way):
        value = [beside] * step + [value] if isinstance(step, int) else {"": beside, step: value}
    with pytest.raises(ValidationError, match=r"^args"):
        encode(value)
