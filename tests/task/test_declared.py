"""What a task may not be, and how the refusal says where it is declared."""

from __future__ import annotations

import abc
import functools
import inspect
import re
import types
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypedDict

import attrs
import msgspec
import pydantic
import pytest

from awa import Client, ValidationError


def send(job: Any) -> None:
    """A handler there is nothing to say against."""


def other(job: Any) -> None:
    """Another one."""


def mul(x: int, y: int) -> int:
    return x * y


def takes_nothing() -> None:
    pass


def wants_more(job: Any, *, session: Any) -> None:
    pass


def yields(job: Any) -> Iterator[int]:
    yield 1


async def yields_later(job: Any) -> AsyncIterator[int]:
    yield 1


class Method:
    def handle(self, job: Any) -> None:
        pass

    async def wait(self, job: Any) -> None:
        pass

    @staticmethod
    def plainly(job: Any) -> None:
        pass


class Object:
    async def __call__(self, job: Any) -> int:
        return 7


class Stepwise:
    def __call__(self, job: Any) -> Iterator[int]:
        yield 1


def with_session(function: Callable[..., Any]) -> Callable[..., Any]:
    """Gives what it wraps an argument of its own, as decorators do."""

    @functools.wraps(function)
    def call(job: Any) -> Any:
        return function(job, session=None)

    return call


@dataclass
class Order:
    id: int


class Named(TypedDict):
    id: int


class Kind(Enum):
    ORDER = 1


class Plain:
    def __init__(self, order: int) -> None:
        self.order = order


class Shape(Protocol):
    id: int


@dataclass
class Abstract(abc.ABC):
    id: int

    @abc.abstractmethod
    def area(self) -> int: ...


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        (mul, r"the handler mul cannot be called with one argument, the job: missing a required argument: 'y'"),
        (takes_nothing, r"the handler takes_nothing cannot be called .* too many positional arguments"),
        (wants_more, r"the handler wants_more cannot be called .* missing a required.* argument: 'session'"),
        (Method.handle, r"the handler Method.handle cannot be called .* missing a required argument: 'job'"),
        (functools.partial(mul, 1, 2), r"the handler functools.partial\(.*\) cannot be called .* too many"),
        (yields, r"the handler yields has a yield in it: calling it makes a generator and runs nothing"),
        (yields_later, r"the handler yields_later has a yield in it"),
        (Stepwise(), r"the handler <.*Stepwise object .*> has a yield in it"),
        (functools.partial(yields), r"has a yield in it"),
        (Order, r"the handler is the class Order, and calling that makes an instance"),
        (None, r"a task's handler must be a function, not None"),
        ("send", r"a task's handler must be a function, not 'send'"),
    ],
)
def test_a_handler_that_cannot_work_is_refused_where_it_is_declared(handler: Any, said: str) -> None:
    client = Client("postgresql://nowhere")
    with pytest.raises(ValidationError, match=said) as refused:
        client.task(kind="k")(handler)
    assert str(refused.value).startswith(f"{__file__}:{line(refused)}: ")
    assert client.registry.kinds == []


@pytest.mark.parametrize(
    ("args_type", "said"),
    [
        ("send_order", "args_type is the text 'send_order'; to say the kind, write kind='send_order'"),
        (send, r"@client.task on send lacks its parentheses: @client.task\(\)"),
        (Plain, "args_type is Plain; it must be a dataclass, an attrs, msgspec or pydantic class or a TypedDict"),
        (int, "args_type is int; it must be a dataclass"),
        (Kind, "args_type is Kind; it must be a dataclass"),
        (list[int], r"args_type is list\[int\]; .* leave it out to get a dict"),
        (Order(1), r"args_type is Order\(id=1\); it must be a dataclass"),
        (Shape, "args_type is Shape; it must be a dataclass"),
        (Abstract, "args_type is Abstract, an abstract class: it has no instances"),
    ],
)
def test_what_arguments_cannot_be_is_refused_where_it_is_declared(args_type: Any, said: str) -> None:
    client = Client("postgresql://nowhere")
    with pytest.raises(ValidationError, match=said) as refused:
        client.task(args_type)
    assert str(refused.value).startswith(f"{__file__}:{line(refused)}: ")


def test_what_can_work_is_taken() -> None:
    client = Client("postgresql://nowhere")
    handlers = [
        send,
        with_session(wants_more),
        functools.partial(wants_more, session=None),
        Method().handle,
        Method().wait,
        Method.__dict__["plainly"],
        Object(),
        print,
        lambda job, more=1, *rest, **others: None,
    ]
    for n, handler in enumerate(handlers):
        client.task(kind=f"k{n}")(handler)
    types_with_fields = [
        Order,
        Named,
        attrs.make_class("Attrs", ["id"]),
        msgspec.defstruct("Struct", ["id"]),
        pydantic.create_model("Model", id=(int, ...)),
        pydantic.dataclasses.dataclass(types.new_class("PydanticDataclass")),
        dict,
        None,
    ]
    for n, args_type in enumerate(types_with_fields):
        client.task(args_type, kind=f"t{n}")(send)
    assert len(client.registry) == len(handlers) + len(types_with_fields)
    awaited = [task.kind for task in client.registry if task.is_async]
    assert awaited == ["k4", "k6"]


@pytest.mark.parametrize("handler", [lambda job: None, functools.partial(send), Object()])
def test_a_handler_without_a_name_needs_a_kind(handler: Any) -> None:
    with pytest.raises(ValidationError, match="has no name to call its jobs by: say kind="):
        Client("postgresql://nowhere").task()(handler)


def test_a_second_handler_of_a_kind_is_refused_and_both_are_named() -> None:
    client = Client("postgresql://nowhere")
    client.task(kind="k")(send)
    with pytest.raises(ValidationError) as refused:
        client.task(kind="k")(other)
    lines = [f"{__file__}:{inspect.getsourcelines(each)[1]}" for each in (send, other)]
    assert str(refused.value) == (
        f"{__file__}:{line(refused)}: kind 'k' has a handler already, {__name__}.send ({lines[0]}), and "
        f"{__name__}.other ({lines[1]}) would take its place. Give one of them another kind=, or say replace=True"
    )
    assert client.registry.get("k").handler is send
    with pytest.raises(ValidationError, match="has a handler already"):
        client.task(Order, kind="k")(send)  # the same one for other arguments
    client.task(kind="k", replace=True)(other)
    assert client.registry.get("k").handler is other


def test_two_functions_of_one_name_are_two() -> None:
    client = Client("postgresql://nowhere")

    @client.task()
    def work(job: Any) -> None:
        """The first."""

    with pytest.raises(ValidationError, match="kind 'work' has a handler already"):

        @client.task()
        def work(job: Any) -> None:
            """The second."""


def test_a_declaration_may_be_executed_again() -> None:
    client = Client("postgresql://nowhere")

    def create_app(name: str) -> None:
        @client.task()
        def greet(job: Any) -> str:
            return name

    create_app("a")
    create_app("b")
    assert client.registry.get("greet").handler(None) == "b"


def test_a_cell_of_a_notebook_may_be_changed_and_run_again() -> None:
    client = Client("postgresql://nowhere")
    cell = "\n" * 3 + "@client.task()\ndef note(job):\n    return {}\n"
    namespace = {"client": client, "__name__": "__main__"}
    for n in range(2):
        exec(compile(cell.format(n), f"/tmp/ipykernel_1/{n}.py", "exec"), namespace)
    assert client.registry.get("note").handler(None) == 1


def line(refused: pytest.ExceptionInfo[Any]) -> int:
    """Return the line of this file that the refusal came through."""
    lines = [entry.lineno + 1 for entry in refused.traceback if re.fullmatch(re.escape(__file__), str(entry.path))]
    return lines[-1]
