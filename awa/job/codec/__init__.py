"""JSON in and out: the one way in which arguments, results and metadata become bytes and come back as types.

Accepted: dict, list, tuple (as a list), str, int (64 bits), float, bool, None; datetime, date, time and timedelta (ISO
8601), UUID and Decimal (text), Enum (its value); dataclasses, attrs classes, msgspec Structs and pydantic models
(`model_dump(mode="json")`), nested as deep as 64. Refused with a ValidationError that names the path of the value
(`args.items[3].price`): bytes, sets, keys that are not strings, NaN and infinities, integers beyond 64 bits, NUL and
lone surrogates in text, cycles, anything else. Nothing is altered silently. (What a pydantic model makes of its own
fields is its own business: bytes as text and sets as lists are fine there, since the model reads them back.)

Untyped arguments come back as plain JSON: a tuple as a list, a datetime as its text, and a whole float of 1e16 or more
as the integer Postgres stores it as. A type restores them.

In: values of Python, or bytes of JSON. Out: the other of the two, or the path of what does not fit.
"""

from awa.job.codec.decoding import decode, decoder_for
from awa.job.codec.encoding import BYTES_MAX, encode, encode_args, encode_args_in_order
from awa.job.codec.refusal import DEPTH_MAX

__all__ = [
    "BYTES_MAX",
    "DEPTH_MAX",
    "decode",
    "decoder_for",
    "encode",
    "encode_args",
    "encode_args_in_order",
]
