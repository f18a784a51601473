"""Tasks: which function handles which kind of job, and what type its arguments have."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

from awa.errors import ValidationError
from awa.job.codec import decoder_for
from awa.job.codec.encoding import BYTES_MAX
from awa.job.kind import derive_kind
from awa.job.validate import check_name
from awa.task.declared import Declaration, check_args_type, check_handler, defined, here, is_async, is_same
from awa.task.policy import Policy, check_policy

Handler = TypeVar("Handler", bound=Callable[..., Any])
Function = TypeVar("Function", bound=Callable[..., Any])
Around = Callable[[Any], AbstractContextManager[Any]]
"""Makes, from a job, the context manager that its handler is called in."""


@dataclass(frozen=True, slots=True)
class Task:
    """One kind of job and the function that handles it."""

    kind: str
    queue: str
    handler: Callable[..., Any]
    args_type: Any
    decode: Callable[[bytes], Any]
    """Decodes the stored JSON straight into `args_type`."""
    is_async: bool
    policy: Policy
    declared: Declaration | None = None
    """The line that registered it; None where no line of the application did."""

    @property
    def name(self) -> str:
        """The handler's import path: "shop.tasks.send_invoice"."""
        return name_of(self.handler)


class Registry:
    """The tasks of one application, by kind, and what it wants done around them."""

    def __init__(
        self, parent: Registry | None = None, payload_bytes_max: int = BYTES_MAX, wakes: bool | None = None
    ) -> None:
        """`parent`: share its tasks, and do what it wants done inside, or after, what this one wants."""
        self._parent = parent
        self.payload_bytes_max = payload_bytes_max
        """Bytes that the arguments of a job inserted here may take as JSON."""
        self.wakes = wakes
        """True if an insert here wakes idle nodes, where it does not say; None: as the environment says."""
        self._tasks: dict[str, Task] = {} if parent is None else parent._tasks
        self._around: tuple[Around, ...] = ()
        self._starts: tuple[Callable[[], Any], ...] = ()

    @property
    def around(self) -> tuple[Around, ...]:
        """Context managers entered around each call of a handler, the outermost first."""
        return self._around if self._parent is None else self._around + self._parent.around

    @property
    def starts(self) -> tuple[Callable[[], Any], ...]:
        """Hooks that each worker process calls before its first job, in this order."""
        return self._starts if self._parent is None else self._starts + self._parent.starts

    def add(
        self,
        handler: Callable[..., Any],
        args_type: Any,
        kind: str | None,
        queue: str,
        *,
        replace: bool = False,
        **options: Any,
    ) -> Task:
        """Register `handler`. Raises ValidationError for what cannot work, and for a second handler of a kind.

        `replace`: it may take the place of another one. `options` are those of `client.task` from `timeout` on.
        """
        check_handler(handler)
        check_args_type(args_type)
        if kind is None:
            kind = _derived_kind(handler, args_type)
        check_name("kind", kind)
        check_name("queue", queue)
        try:
            decode = decoder_for(args_type)
        except TypeError as error:
            raise ValidationError(f"task {kind!r} cannot take its arguments: {error}") from error
        policy, declared = check_policy(**options), here()
        task = Task(kind, queue, handler, args_type, decode, is_async(handler), policy, declared)
        if not replace:
            self._refuse_second(task)
        self._tasks[kind] = task
        return task

    def _refuse_second(self, task: Task) -> None:
        """Raise ValidationError when the kind has another handler, declared elsewhere."""
        first = self._tasks.get(task.kind)
        if first is None or is_same(task.handler, task.declared, first.handler, first.declared):
            return
        raise ValidationError(
            f"kind {task.kind!r} has a handler already, {_described(first)}, and {_described(task)} would take its "
            "place. Give one of them another kind=, or say replace=True"
        )

    def add_around(self, make: Around) -> None:
        """Enter `make(job)` around each call of a handler, inside what was added before. Raises ValidationError."""
        self._around = (*self._around, _callable("around_jobs", make))

    def add_start(self, function: Callable[[], Any]) -> None:
        """Call `function()` in each worker process before its first job. Raises ValidationError."""
        self._starts = (*self._starts, _callable("on_worker_start", function))

    def get(self, kind: str) -> Task | None:
        """Return the task for `kind`; None if there is no such task."""
        return self._tasks.get(kind)

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks.values())

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def kinds(self) -> list[str]:
        """Every kind that has a handler."""
        return sorted(self._tasks)

    @property
    def max_attempts(self) -> dict[str, int]:
        """Most attempts of jobs by kind, for jobs inserted without a number of their own."""
        return {kind: self._tasks[kind].policy.attempts for kind in self.kinds}

    @property
    def queues(self) -> list[str]:
        """The queues of all tasks."""
        return sorted({task.queue for task in self})


def name_of(function: Callable[..., Any]) -> str:
    """Return where a function is defined, "shop.tasks.send_invoice"; of an object that can be called, what it is."""
    module, name = (getattr(function, attribute, None) for attribute in ("__module__", "__qualname__"))
    return f"{module}.{name}" if module and name else repr(function)


def _callable(what: str, function: Any) -> Any:
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise ValidationError(f"{what} takes a function that is called without await, not {function!r}")
    return function


def _derived_kind(handler: Any, args_type: Any) -> str:
    """Return the kind by the name of the type of the arguments, else of the handler. Raises ValidationError."""
    if args_type is not None and args_type is not dict:
        return derive_kind(args_type.__name__)
    name = getattr(handler, "__name__", "<lambda>")
    if name == "<lambda>":
        raise ValidationError(f"the handler {handler!r} has no name to call its jobs by: say kind=")
    return derive_kind(name)


def _described(task: Task) -> str:
    """Return a handler's name and where it is written, "shop.tasks.send (/srv/shop/tasks.py:12)"."""
    place = defined(task.handler) or task.declared
    return f"{task.name} ({place})" if place else task.name
