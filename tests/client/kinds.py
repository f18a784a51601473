"""Arguments of every make that handlers may ask for."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum
from uuid import UUID

import attrs
import msgspec
import pydantic


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Line:
    item: str
    price: Decimal


@dataclass
class DataOrder:
    id: UUID
    at: datetime
    colour: Colour
    lines: list[Line] = field(default_factory=list)


@attrs.define
class AttrsOrder:
    id: UUID
    at: datetime
    colour: Colour
    lines: list[Line] = attrs.field(factory=list)


class MsgspecOrder(msgspec.Struct):
    id: UUID
    at: datetime
    colour: Colour
    lines: list[Line] = msgspec.field(default_factory=list)


class PydanticOrder(pydantic.BaseModel):
    id: UUID
    at: datetime
    colour: Colour
    lines: list[Line] = []


@dataclass
class SendEmail:
    to: str
    subject: str = "Kia ora"
