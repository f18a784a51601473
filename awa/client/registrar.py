"""The part of a client that registers: handlers, and what is done around them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from awa.errors import ValidationError
from awa.job.options import DEFAULT_QUEUE
from awa.task.declared import check_args_type, located
from awa.task.policy import GRACE_S, check_policy
from awa.task.registry import Function, Handler, Registry

if TYPE_CHECKING:
    from awa.backoff import Preset


class Registrar:
    """Registers handlers and hooks."""

    registry: Registry
    """The registered tasks."""

    def task(
        self,
        args_type: Any = None,
        *,
        kind: str | None = None,
        queue: str = DEFAULT_QUEUE,
        timeout: float | None = None,
        grace: float = GRACE_S,
        max_attempts: int | None = None,
        backoff: Callable[[int], float] | Preset | str | None = None,
        retry_on: type[BaseException] | Iterable[type[BaseException]] | None = None,
        give_up_on: type[BaseException] | Iterable[type[BaseException]] | None = None,
        raise_on_cancel: bool = False,
        memory_limit_mb: int | None = None,
        replace: bool = False,
    ) -> Callable[[Handler], Handler]:
        """Register the decorated function as the handler of a kind of job; return it unchanged.

        The function takes one argument, the job. A kind has one handler.

        Args:
            args_type: what `job.args` will be: a dataclass, an attrs, msgspec or pydantic class, a TypedDict; left
                out, a dict.
            kind: by default derived from the name of `args_type`, or of the function without one.
            queue: where jobs of this kind go unless told otherwise.
            timeout: seconds an attempt may take before `JobTimeout` is raised in the handler; 0: as long as it likes.
                By default its queue's deadline. A job can be inserted with one of its own.
            grace: seconds from then on, or from a cancellation, until the worker is killed.
            max_attempts: of jobs inserted without a number of their own, 1 to 1000; by default 25. It goes for those of
                processes that do not know the task, too: workers tell the database when they start.
            backoff: how long to wait after a failed attempt: a preset of `awa.backoff` or its name, or a function from
                the attempt (1, 2, …) to seconds. By default `exponential()`.
            retry_on: exception classes; only these are retried, all others fail the job at once.
            give_up_on: exception classes that fail the job at once, whatever `retry_on` says.
            raise_on_cancel: raise `JobCancelled` in the handler of a job that is cancelled.
            memory_limit_mb: MiB that an attempt may take beyond what its worker had before.
            replace: take the place of a handler that the kind has already.

        Raises:
            ValidationError: an option is not what it must be, JSON cannot be turned into `args_type`, the function
                cannot be called with a job or would run nothing (a generator), or the kind has another handler. The
                message begins with the line in question.
        """

        options = {
            "timeout": timeout,
            "grace": grace,
            "max_attempts": max_attempts,
            "backoff": backoff,
            "retry_on": retry_on,
            "give_up_on": give_up_on,
            "raise_on_cancel": raise_on_cancel,
            "memory_limit_mb": memory_limit_mb,
        }
        try:  # where the decorator stands, not where it is applied
            if callable(args_type) and not isinstance(args_type, type) and hasattr(args_type, "__code__"):
                raise ValidationError(f"@client.task on {args_type.__qualname__} lacks its parentheses: @client.task()")
            check_args_type(args_type)
            check_policy(**options)
        except ValidationError as refusal:
            raise located(refusal) from refusal.__cause__

        def register(handler: Handler) -> Handler:
            try:
                self.registry.add(handler, args_type, kind, queue, replace=replace, **options)
            except ValidationError as refusal:
                raise located(refusal) from refusal.__cause__
            return handler

        return register

    def around_jobs(self, make: Function) -> Function:
        """Call each handler inside the context manager that `make(job)` returns; return `make`, so it may decorate.

            @client.around_jobs
            @contextmanager
            def timed(job):
                began = monotonic()
                try:
                    yield
                finally:
                    print(job.kind, monotonic() - began)

        The one registered first is the outermost. They are entered in the thread that calls the handler, of `async def`
        handlers too; time limits, cancellation and memory limits reach only the handler. What they raise is the job's
        error as if the handler had raised it. They see what it raises, and may raise another exception in its place,
        but cannot make it a success: one that is swallowed is raised all the same.

        Raises ValidationError when `make` cannot be called.
        """
        self.registry.add_around(make)
        return make

    def on_worker_start(self, function: Function) -> Function:
        """Call `function()` in each worker process before its first job; return it, so this may decorate.

        It is the place to give up what was opened before the fork, such as a pool of connections. A worker in which it
        raises ends, says so in the log, and is started again after a pause that grows. `work()` does not call it.

        Raises ValidationError when it cannot be called.
        """
        self.registry.add_start(function)
        return function
