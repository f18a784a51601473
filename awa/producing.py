"""From what a caller hands to `insert` to rows of the log: options checked, arguments encoded, nothing sent before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from typing import Any, Final, NamedTuple

import msgspec

from awa import codec
from awa.engine.insert import Inserted, NewJob
from awa.errors import ValidationError
from awa.job import Job, JobState
from awa.policy import MAX_ATTEMPTS, check_timeout, check_whole, seconds_of
from awa.task import Registry, check_name

DEFAULT_QUEUE: Final = "default"
DEFAULT_PRIORITY: Final = 2
DEFAULT_MAX_ATTEMPTS: Final = 25
PRIORITY: Final = range(1, 5)
TAGS_MAX: Final = 20
_INT16: Final = range(-(2**15), 2**15)
_YEARS: Final = range(2, 9999)
"""Of a run_at: a time zone away from these lie years that datetime does not know."""


class Options(NamedTuple):
    """What all jobs of one call share, checked and encoded."""

    kind: str | None
    queue: str | None
    priority: int
    max_attempts: int | None
    timeout_ms: int | None
    run_at: datetime | None
    metadata: bytes | None
    tags: list[str] | None


class InsertedMany(NamedTuple):
    """What a bulk insert did."""

    ids: list[int]
    """The new jobs, in the order they were given."""
    inserted: int
    skipped: int
    """Jobs left out because another holds their unique key."""


def check_options(
    kind: str | None,
    queue: str | None,
    priority: int,
    max_attempts: int | None,
    timeout: float | None,
    tags: Any,
    metadata: Any,
    run_at: Any,
) -> Options:
    """Return the options of an insert. Raises ValidationError, or OverflowError for a number beyond 16 bits."""
    if kind is not None:
        check_name("kind", kind)
    if queue is not None:
        check_name("queue", queue)
    return Options(
        kind,
        queue,
        _whole("priority", priority, PRIORITY),
        None if max_attempts is None else _whole("max_attempts", max_attempts, MAX_ATTEMPTS),
        check_timeout(timeout),
        None if run_at is None else moment(run_at),
        None if metadata is None else codec.encode(metadata, name="metadata"),
        None if tags is None else _checked_tags(tags),
    )


def new_job(registry: Registry, args: Any, options: Options) -> NewJob:
    """Return one job, ready to insert. Raises ValidationError that names the offending value by its path."""
    kind, queue, max_attempts = _route(registry, args, options)
    _, _, priority, _, timeout_ms, run_at, metadata, tags = options
    return NewJob(queue, kind, priority, max_attempts, run_at, codec.encode_args(args), metadata, tags, timeout_ms)


def new_jobs(registry: Registry, jobs: Iterable[Any], options: Options) -> Iterator[NewJob]:
    """Yield each of `jobs`, ready to insert. What `_route` says is found out once per type of arguments.

    Raises ValidationError that names the offending value by its path, which begins with the job's place: `jobs[0]`.
    """
    _, _, priority, _, timeout_ms, run_at, metadata, tags = options
    routes: dict[type, tuple[str, str, int]] = {}
    encode: Callable[[Any], bytes] = codec.encode_args
    for at, args in enumerate(jobs):
        try:
            route = routes.get(type(args))
            if route is None:
                route = routes[type(args)] = _route(registry, args, options)
            kind, queue, max_attempts = route
            job = NewJob(queue, kind, priority, max_attempts, run_at, encode(args), metadata, tags, timeout_ms)
        except ValidationError as refusal:
            raise ValidationError(f"jobs[{at}]: {refusal}") from refusal
        yield job


def inserted_job(job: NewJob, inserted: Inserted) -> Job:
    """Return a job as it stands right after its insert."""
    return Job(
        id=inserted.id,
        kind=job.kind,
        queue=job.queue,
        state=JobState.Scheduled if inserted.later else JobState.Available,
        priority=job.priority,
        attempt=0,
        max_attempts=job.max_attempts,
        timeout=seconds_of(job.timeout_ms),
        args=codec.decode(job.args),
        tags=list(job.tags or ()),
        metadata=codec.decode(job.metadata) if job.metadata else {},
        run_at=job.run_at or inserted.created_at.astimezone(timezone.utc),
        created_at=inserted.created_at.astimezone(timezone.utc),
    )


def moment(value: Any, name: str = "run_at") -> datetime:
    """Return a time in UTC, from a datetime, text or an object that writes one. Raises ValidationError, by `name`."""
    try:
        found = _as_datetime(value)
        # Without a zone it means UTC; what the machine's zone is must not matter.
        found = found.replace(tzinfo=timezone.utc) if found.tzinfo is None else found.astimezone(timezone.utc)
    except (TypeError, ValueError, OverflowError) as problem:
        raise ValidationError(
            f"{name} is {value!r}, which is no point in time; pass a datetime (without a time zone it means UTC) or "
            "RFC 3339 text such as '2030-01-31T12:00:00Z'"
        ) from problem
    if found.year not in _YEARS:
        raise ValidationError(f"{name} is {value!r}; it must lie in the years {_YEARS[0]} to {_YEARS[-1]}")
    return found


def _as_datetime(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    text = value.isoformat() if hasattr(value, "isoformat") else value
    if not isinstance(text, str):
        raise TypeError(text)
    return msgspec.convert(text, datetime)


def _route(registry: Registry, args: Any, options: Options) -> tuple[str, str, int]:
    """Return kind, queue and attempts: as the caller says, else as the arguments' type and its task here say."""
    kind = options.kind
    if kind is None:
        kind = codec.kind_of(args)
        check_name("kind", kind)
    task = registry.get(kind)
    queue = options.queue or (task.queue if task else DEFAULT_QUEUE)
    return kind, queue, options.max_attempts or (task and task.policy.max_attempts) or DEFAULT_MAX_ATTEMPTS


def _whole(name: str, value: Any, allowed: range) -> int:
    if isinstance(value, int) and value not in _INT16:
        raise OverflowError(f"{name} is {value}; it must be a whole number from {allowed[0]} to {allowed[-1]}")
    return check_whole(name, value, allowed)


def _checked_tags(tags: Any) -> list[str] | None:
    if not isinstance(tags, (list, tuple)):
        raise ValidationError(f"tags is {tags!r}; it must be a list of strings")
    if len(tags) > TAGS_MAX:
        raise ValidationError(f"tags has {len(tags)} entries; a job has at most {TAGS_MAX}")
    for at, tag in enumerate(tags):
        if not isinstance(tag, str):
            raise ValidationError(f"tags[{at}] is {tag!r} ({type(tag).__qualname__}); tags are strings")
    codec.encode(tags, name="tags")
    return [str(tag) for tag in tags] or None
