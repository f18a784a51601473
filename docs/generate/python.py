"""The page of the Python interface, from `awa.__all__`."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Iterator
from typing import Any

import awa
from awa import backoff
from awa.errors import AwaError
from awa.worker.job_context import RunningJob
from docs.generate.docstrings import attributes, doc
from docs.generate.markdown import code, document, table
from docs.generate.signatures import signature

INTRODUCTION = """
What `import awa` gives. Names that are not on this page are Awa's own business and may change with any release.
Exceptions have [a page of their own](errors.md).
"""
CHAPTERS = (
    ("The client", "Client SyncTransaction"),
    ("The client for asynchronous code", "AsyncClient Transaction"),
    (
        "Jobs",
        "Job JobState StopReason InsertedMany WaitingReason QueueStat KnownNames QueuePolicy DlqEntry "
        "RetryFailedResult WorkerDeaths",
    ),
    ("What a handler may return", "RetryAfter Snooze Cancel"),
    ("Keys and partitions", "unique_key PartitionedQueue"),
    ("Logs", "JobLogFilter"),
    ("Kinds and schema", "derive_kind migrate migrations migrations_range current_migration_version"),
)
MIRRORS = {"AsyncClient": "Client", "Transaction": "SyncTransaction"}
"""Classes whose methods are those of another one, most of them as coroutines."""
BACKOFFS = """
## Back-off

What `client.task(…, backoff=…)` takes, from `awa.backoff`. The names alone, as text, stand for the presets without
arguments.
"""
HANDLER = """
## What a handler gets

A handler is a function of one argument, its job: a [`Job`](#awajob) in the state `running`, whose `args` have the type
that the task was registered with. `async def` handlers are accepted too; they run on an event loop inside the worker,
one job at a time like all others.

`job.is_cancelled()` says whether the handler is to end soon, and `job.stop_requested` why: an
[`awa.StopReason`](#awastopreason), equal to `"cancelled"`, `"timed_out"` or `"shutting_down"`, or `None`. The answer
comes from shared memory, without asking the database, so a long loop may ask as often as it likes. What a cancelled job
returns or raises counts no more. At a shutdown, `return awa.Snooze(0)` hands the job back without spending its attempt.
In `client.work()`, which no supervisor looks after, only the end of a time limit is seen.

`job.transaction()` and `job.complete()` commit the job's completion together with the handler's own rows: see
[Do a job's work exactly once](../howto/exactly-once.md).

`job.deadline` is when its time will be up, `None` where it has no [limit](../howto/time-limits.md).

Some names are there already for what later releases bring: `progress` and `traceparent` are `None`, and no job is ever
`waiting_external`.
"""


def page() -> str:
    """Return the page."""
    parts = [f"## {title}\n\n" + "\n\n".join(map(_entry, names.split())) for title, names in CHAPTERS]
    return document("Python", INTRODUCTION, *parts, "\n\n".join([BACKOFFS.strip(), *_backoffs()]), HANDLER, *_running())


def _running() -> Iterator[str]:
    """What a job can do only while its handler runs."""
    for method in (RunningJob.transaction, RunningJob.complete):
        name = method.__name__
        yield f"### `job.{name}`\n\n{_code(signature(name, method))}\n\n{doc(method)}"


def public() -> set[str]:
    """Return the names of `awa.__all__` that belong on this page."""
    return {name for name in awa.__all__ if name != "__version__" and not _is_error(getattr(awa, name))}


def chaptered() -> set[str]:
    """Return the names this page has."""
    return {name for _, names in CHAPTERS for name in names.split()}


def _is_error(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, AwaError)


def _backoffs() -> Iterator[str]:
    for preset in (backoff.exponential, backoff.linear, backoff.constant):
        name = f"awa.backoff.{preset.__name__}"
        yield f"### `{name}`\n\n{_code(signature(preset.__name__, preset))}\n\n{doc(preset)}"


def _entry(name: str) -> str:
    value = getattr(awa, name)
    if not isinstance(value, type):
        return f"### `awa.{name}`\n\n{_code(signature(name, value))}\n\n{doc(value)}"
    return "\n\n".join([f"### `awa.{name}`", *_class(name, value)])


def _class(name: str, value: type) -> Iterator[str]:
    if issubclass(value, enum.Enum):
        meanings = {each.name: each.meaning for each in attributes(value)}
        rows = ((code(each.name), each.value, code(str(each)), meanings[each.name]) for each in value)
        yield doc(value)
        yield table(("member", "value", "text", "meaning"), rows)
        return
    if fields := [field for field in attributes(value) if not hasattr(vars(value).get(field.name), "__wrapped__")]:
        yield doc(value)
        rows = ((code(field.name), code(field.type), field.meaning) for field in fields)
        yield table(("field", "type", "meaning"), rows)
    elif inspect.getdoc(vars(value).get("__init__")):
        yield _code(signature(name, value))
        yield doc(value)
        yield doc(value.__init__)
    else:
        yield doc(value)
    members = [(method, member) for method, member in _members_of(value) if not hasattr(member, "__wrapped__")]
    for method, member in members:
        yield _method(name, method, member)
    if name in MIRRORS:
        yield _mirrored(value, MIRRORS[name])


def _mirrored(value: type, other: str) -> str:
    """What is said of methods that are described elsewhere already."""

    def listed(*, are_coroutines: bool) -> str:
        names = [
            method
            for method, member in _members_of(value)
            if hasattr(member, "__wrapped__") and inspect.iscoroutinefunction(member) == are_coroutines
        ]
        return ", ".join(f"[`{method}`](#{other.lower()}{method})" for method in names)

    parts = [f"Coroutines that take, return and raise what the methods of `{other}` do: {listed(are_coroutines=True)}."]
    if plain := listed(are_coroutines=False):
        parts.append(f"Called as they are there, without `await`: {plain}.")
    return "\n\n".join(parts)


def _members_of(value: type) -> Iterator[tuple[str, Any]]:
    """The public methods and properties that a class and its bases of ours define: bases first, as it names them."""
    for owner in (*value.__mro__[1:], value):
        if not owner.__module__.startswith("awa."):
            continue
        for name, member in vars(owner).items():
            if not name.startswith("_") and (isinstance(member, property) or inspect.isfunction(member)):
                yield name, member


def _method(owner: str, name: str, member: Any) -> str:
    heading = f"#### `{owner}.{name}`"
    if isinstance(member, property):
        return f"{heading}\n\n{doc(member)}"
    return f"{heading}\n\n{_code(signature(name, member))}\n\n{doc(member)}"


def _code(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
