"""JSON comes back as the type a handler asked for, also after jsonb has rewritten its numbers."""

from __future__ import annotations

import dataclasses
import enum
import json
import subprocess
import sys
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Optional, TypedDict, Union
from uuid import UUID

import attrs
import msgspec
import pydantic
import pydantic.dataclasses
import pytest
from hypothesis import given
from hypothesis import strategies as st

from awa.errors import SerializationError
from awa.job.codec import decode, decoder_for, encode


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 3


@dataclasses.dataclass(frozen=True)
class Line:
    sku: UUID
    price: Decimal
    pair: tuple[int, float]


@dataclasses.dataclass(frozen=True)
class Order:
    at: datetime
    day: date
    clock: time
    span: timedelta
    colour: Colour
    level: Level
    lines: list[Line]
    by_sku: dict[str, Line]
    note: str | None = None


@attrs.frozen
class Parcel:
    weight: Decimal
    order: Order


class Packet(msgspec.Struct, frozen=True):
    order: Order
    weight: float


class Invoice(pydantic.BaseModel):
    total: Decimal = pydantic.Field(alias="Total")
    due: datetime
    order: Order
    model_config = pydantic.ConfigDict(populate_by_name=True)


@pydantic.dataclasses.dataclass
class Bill:
    total: int = pydantic.Field(gt=0)


@dataclasses.dataclass
class Envelope:
    invoice: Invoice


class Message(TypedDict):
    text: str
    when: datetime


@dataclasses.dataclass
class Empty:
    pass


@dataclasses.dataclass
class Picky:
    n: int

    def __post_init__(self) -> None:
        if self.n < 0:
            raise KeyError("n is negative")


@dataclasses.dataclass
class Ambiguous:
    either: Union[Line, Order]  # noqa: UP007 - the old spelling must work as well


@dataclasses.dataclass
class Dangling:
    missing: NotThere  # type: ignore[name-defined]  # noqa: F821 - a name that exists nowhere is the point


def as_jsonb(raw: bytes) -> bytes:
    """Rewrite a document as jsonb gives it back: numbers as numeric prints them, without an exponent."""
    document = json.dumps(json.loads(raw, parse_float=Decimal), default=_marked, ensure_ascii=False)
    return document.replace('"\\u0001', "").replace('\\u0001"', "").encode()


def _marked(number: Decimal) -> str:
    return f"\1{number:f}\1"


DATETIMES = st.datetimes(timezones=st.none() | st.just(timezone.utc) | st.just(timezone(timedelta(hours=-3))))
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text(st.characters(exclude_characters="\0\1", exclude_categories=["Cs"]))
INTEGERS = st.integers(-(2**63), 2**63 - 1)
LINES = st.builds(Line, st.uuids(), DECIMALS, st.tuples(INTEGERS, FLOATS))
ORDERS = st.builds(
    Order,
    DATETIMES,
    st.dates(),
    st.times(),
    st.timedeltas(timedelta(days=-10_000), timedelta(days=10_000)),
    st.sampled_from(Colour),
    st.sampled_from(Level),
    st.lists(LINES, max_size=3),
    st.dictionaries(TEXT, LINES, max_size=3),
    st.none() | TEXT,
)


@given(ORDERS)
def test_a_dataclass_comes_back_equal(order: Order) -> None:
    assert decode(as_jsonb(encode(order)), Order) == order


@given(st.builds(Parcel, DECIMALS, ORDERS))
def test_an_attrs_class_comes_back_equal(parcel: Parcel) -> None:
    assert decode(as_jsonb(encode(parcel)), Parcel) == parcel


@given(st.builds(Packet, ORDERS, FLOATS))
def test_a_struct_comes_back_equal(packet: Packet) -> None:
    assert decode(as_jsonb(encode(packet)), Packet) == packet


@given(DECIMALS, DATETIMES, INTEGERS)
def test_a_pydantic_model_comes_back_equal(total: Decimal, due: datetime, number: int) -> None:
    order = Order(due, due.date(), due.time(), timedelta(1), Colour.RED, Level.HIGH, [], {}, str(number))
    invoice = Invoice(Total=total, due=due, order=order)
    assert decode(as_jsonb(encode(invoice)), Invoice) == invoice
    assert decode(as_jsonb(encode(Envelope(invoice))), Envelope) == Envelope(invoice)


@given(
    st.recursive(
        st.none() | st.booleans() | INTEGERS | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner)
    )
)
def test_untyped_json_comes_back_equal(value: object) -> None:
    assert decode(as_jsonb(encode(value))) == value


@given(FLOATS)
def test_untyped_floats_come_back_equal_but_for_the_last_digits_of_whole_ones(number: float) -> None:
    assert float(decode(as_jsonb(encode([number])))[0]) == number


def test_a_float_too_long_for_an_integer_is_a_float_again() -> None:
    assert decode(as_jsonb(b'{"x":1.79e308,"y":[-1e300]}')) == {"x": 1.79e308, "y": [-1e300]}


def test_a_number_too_large_for_a_float_stays_readable() -> None:
    assert decode(b'{"x":1' + b"0" * 400 + b"}") == {"x": 10**400}


@pytest.mark.parametrize("into", [None, dict, Any, object, dict[str, int]])
def test_what_has_no_fields_gets_plain_json(into: object) -> None:
    assert decode(b'{"a":[1,"x"]}', into) == {"a": [1, "x"]}


def test_a_typed_dict_is_converted_too() -> None:
    assert decode(b'{"text":"x","when":"2026-01-02T00:00:00"}', Message)["when"] == datetime(2026, 1, 2)


def test_a_dataclass_without_fields_is_still_that_dataclass() -> None:
    assert decode(b"{}", Empty) == Empty()


def test_text_is_read_like_bytes() -> None:
    assert decode('{"n":1}', Picky) == Picky(1)


def test_keys_of_a_newer_producer_are_ignored() -> None:
    assert decode(b'{"n":1,"added_later":2}', Picky) == Picky(1)


LINE = '{"sku":"00000000-0000-0000-0000-000000000005","price":"1","pair":[1,2.0]}'


@pytest.mark.parametrize(
    ("raw", "into", "message"),
    [
        ('{"n":"x"}', Picky, "args do not fit Picky: Expected `int`, got `str` - at `args.n`"),
        ("{}", Picky, "args do not fit Picky: Object missing required field `n`"),
        ("[]", Picky, "args do not fit Picky: Expected `object`, got `array`"),
        ('{"n":-1}', Picky, "args do not fit Picky: KeyError: 'n is negative'"),
        (LINE.replace('"1"', '"x"'), Line, "Invalid decimal string - at `args.price`"),
        (LINE.replace("2.0", '"y"'), Line, "Expected `float`, got `str` - at `args.pair[1]`"),
        ('{"total":0}', Bill, "args do not fit Bill: Input should be greater than 0 - at `args.total`"),
        ('{"due":"x","total":1}', Invoice, "at `args.due`; Field required - at `args.order`"),
        ('{"invoice":{"total":1}}', Envelope, "Field required - at `.order` - at `args.invoice`"),
    ],
)
def test_a_document_that_does_not_fit_names_the_field(raw: str, into: type, message: str) -> None:
    with pytest.raises(TypeError) as refused:
        decode(raw.encode(), into)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("into", "why"), [(Ambiguous, "may not contain more than one dataclass"), (Dangling, "'NotThere' is not defined")]
)
def test_a_type_that_json_cannot_fill_is_known_before_any_job_runs(into: type, why: str) -> None:
    with pytest.raises(TypeError, match=rf"JSON cannot be decoded into {into.__name__}: .*{why}"):
        decoder_for(into)


@pytest.mark.parametrize("raw", [b"", b"{", b"nul", b"\xff"])
@pytest.mark.parametrize("into", [None, Picky])
def test_what_is_not_json_is_said_to_be_so(raw: bytes, into: Optional[type]) -> None:  # noqa: UP045
    with pytest.raises(SerializationError, match=f"stored document of {len(raw)} bytes is not JSON"):
        decode(raw, into)


def test_nothing_of_pydantic_or_attrs_is_imported_for_those_who_do_not_use_it() -> None:
    code = "import sys, awa.job.codec; awa.job.codec.encode({'a': 1}); print({'pydantic', 'attr'} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
