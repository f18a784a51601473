"""From what a caller hands to `insert` to rows of the log: options checked, arguments encoded, nothing sent before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from datetime import datetime, timedelta, timezone
from typing import Any, Final, NamedTuple

import msgspec

from awa import codec
from awa.engine.insert import Added, Inserted, NewJob, Unique
from awa.errors import UniqueConflict, ValidationError
from awa.job import Job, JobState
from awa.ordering import ordering_key_bytes
from awa.policy import MAX_ATTEMPTS, check_timeout, check_whole, seconds_of
from awa.task import Registry, check_name
from awa.unique.key import key_for
from awa.unique.options import UniqueOptions, check_begins, check_unique

DEFAULT_QUEUE: Final = "default"
DEFAULT_PRIORITY: Final = 2
DEFAULT_MAX_ATTEMPTS: Final = 25
PRIORITY: Final = range(1, 5)
TAGS_MAX: Final = 20
DELAY_S_MAX: Final = 3_155_760_000
"""A hundred years."""
OPTION_NAMES: Final = (
    "kind", "queue", "priority", "max_attempts", "timeout", "tags", "metadata", "run_at", "delay", "expires_at",
    "unique_opts", "ordering_key",
)  # fmt: skip
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
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
    delay_s: float | None
    expires_at: datetime | None
    metadata: bytes | None
    tags: list[str] | None
    unique: UniqueOptions | None
    ordering_key: bytes | None


class InsertedMany(NamedTuple):
    """What a bulk insert did."""

    ids: list[int]
    """The new jobs, in the order they were given."""
    inserted: int
    skipped: int
    """Jobs left out because another holds their unique key."""
    skipped_at: Sequence[int] = ()
    """Their places among the jobs given, from zero."""


def check_options(
    *,
    kind: str | None = None,
    queue: str | None = None,
    priority: int = DEFAULT_PRIORITY,
    max_attempts: int | None = None,
    timeout: float | None = None,
    tags: Any = None,
    metadata: Any = None,
    run_at: Any = None,
    delay: Any = None,
    expires_at: Any = None,
    unique_opts: Any = None,
    ordering_key: Any = None,
) -> Options:
    """Return the options of an insert. Raises ValidationError, or OverflowError for a number beyond 16 bits."""
    if kind is not None:
        check_name("kind", kind)
    if queue is not None:
        check_name("queue", queue)
    if delay is not None and run_at is not None:
        raise ValidationError(f"run_at is {run_at!r} and delay {delay!r}; a job has one of them or none")
    options = Options(
        kind,
        queue,
        _whole("priority", priority, PRIORITY),
        None if max_attempts is None else _whole("max_attempts", max_attempts, MAX_ATTEMPTS),
        check_timeout(timeout),
        None if run_at is None else moment(run_at),
        None if delay is None else _delay(delay),
        None if expires_at is None else moment(expires_at, "expires_at"),
        None if metadata is None else codec.encode(metadata, name="metadata"),
        None if tags is None else _checked_tags(tags),
        check_unique(unique_opts),
        ordering_key_bytes(ordering_key),
    )
    if options.expires_at is not None:
        _check_expiry(options)
    if options.unique is not None:
        check_begins(options.unique, JobState.Scheduled if _is_later(options) else JobState.Available)
    return options


def new_job(registry: Registry, args: Any, options: Options) -> NewJob:
    """Return one job, ready to insert. Raises ValidationError that names the offending value by its path."""
    return _job(registry, args, options, _route(registry, args, options))


def new_jobs(
    registry: Registry, jobs: Iterable[Any], shared: Mapping[str, Any], opts: Sequence[Mapping[str, Any] | None] | None
) -> Iterator[NewJob]:
    """Return an iterator of `jobs`, ready to insert.

    `shared` are the options of all; `opts` has those of each job that differ. Raises ValidationError that names the
    offending value by its path, which begins with the job's place, `jobs[0]`, and is raised when that is reached.
    """
    options = check_options(**shared)
    check_bulk(options)
    if opts is None:
        return _jobs_alike(registry, jobs, options)
    _check_opts(jobs, opts)
    return _jobs_apart(registry, jobs, shared, opts)


def _jobs_alike(registry: Registry, jobs: Iterable[Any], options: Options) -> Iterator[NewJob]:
    """Yield jobs with the same options. What `_route` says is found out once per type of arguments."""
    routes: dict[type, tuple[str, str, int]] = {}
    for at, args in enumerate(jobs):
        try:
            route = routes.get(type(args))
            if route is None:
                route = routes[type(args)] = _route(registry, args, options)
            job = _job(registry, args, options, route)
        except ValidationError as refusal:
            raise ValidationError(f"jobs[{at}]: {refusal}") from refusal
        yield job


def _jobs_apart(
    registry: Registry, jobs: Iterable[Any], shared: Mapping[str, Any], opts: Sequence[Mapping[str, Any] | None]
) -> Iterator[NewJob]:
    at = -1
    for at, args in enumerate(jobs):
        if at >= len(opts):
            raise ValidationError(_unequal(len(opts), f"more than {len(opts)}"))
        try:
            options = check_options(**{**shared, **_own(opts[at])})
            check_bulk(options)
            job = _job(registry, args, options, _route(registry, args, options))
        except ValidationError as refusal:
            raise ValidationError(f"jobs[{at}]: {refusal}") from refusal
        yield job
    if at + 1 != len(opts):
        raise ValidationError(_unequal(len(opts), at + 1))


def _check_opts(jobs: Iterable[Any], opts: Any) -> None:
    if isinstance(opts, (str, bytes, Mapping)) or not isinstance(opts, Sequence):
        kind = type(opts).__qualname__
        raise ValidationError(f"opts is of type {kind}; it must be a list, with a dict or None for each job")
    if isinstance(jobs, Sized) and len(jobs) != len(opts):
        raise ValidationError(_unequal(len(opts), len(jobs)))


def _unequal(given: int, expected: int | str) -> str:
    return f"opts length must match jobs length (got {given}, expected {expected})"


def _own(opts: Any) -> Mapping[str, Any]:
    """Return what `opts` says of one job. Raises ValidationError for what it cannot say."""
    if opts is None:
        return {}
    if not isinstance(opts, Mapping):
        raise ValidationError(f"opts is {opts!r}; it must be a dict or None")
    for key in opts:
        if key not in OPTION_NAMES:
            *first, last = map(repr, OPTION_NAMES)
            raise ValidationError(f"unsupported opts key {key!r}; expected {', '.join(first)} or {last}")
    if opts.get("queue") == "":
        raise ValidationError("opts queue must not be empty")
    return opts


def check_bulk(options: Options) -> None:
    """Raise ValidationError for what cannot be done with many jobs at once."""
    if options.unique is not None and options.unique.on_conflict == "replace":
        raise ValidationError(
            "unique_opts on_conflict is 'replace', which is for one job at a time: call insert for it. Many at once "
            "leave duplicates out ('skip', the default) or refuse them ('error')"
        )


def _job(registry: Registry, args: Any, options: Options, route: tuple[str, str, int]) -> NewJob:
    kind, queue, max_attempts = route
    raw, is_in_order = codec.encode_args_in_order(args, bytes_max=registry.payload_bytes_max)
    unique = options.unique
    return NewJob(
        queue,
        kind,
        options.priority,
        max_attempts,
        options.run_at,
        raw,
        options.metadata,
        options.tags,
        options.timeout_ms,
        options.delay_s,
        options.expires_at,
        None if unique is None else Unique(key_for(kind, queue, raw, unique, is_in_order=is_in_order), unique.states),
        options.ordering_key,
    )


def inserted_job(job: NewJob, inserted: Inserted, unique: UniqueOptions | None = None) -> Job:
    """Return a job as it stands right after its insert, or the one that holds its unique key.

    Raises UniqueConflict where that is not what was asked for.
    """
    if inserted.outcome != "inserted":
        return _holder(job, inserted, unique)
    return new_row(
        job,
        inserted.id,
        JobState.parse(inserted.state),
        created_at=_time(inserted.created_us),
        run_at=_time(inserted.run_us),
    )


def new_row(job: NewJob, job_id: int, state: JobState, *, created_at: datetime, run_at: datetime) -> Job:
    """Return a job that has just been inserted."""
    return Job(
        id=job_id,
        kind=job.kind,
        queue=job.queue,
        state=state,
        priority=job.priority,
        attempt=0,
        max_attempts=job.max_attempts,
        timeout=seconds_of(job.timeout_ms),
        args=codec.decode(job.args),
        tags=list(job.tags or ()),
        metadata=codec.decode(job.metadata) if job.metadata else {},
        run_at=run_at,
        created_at=created_at,
        expires_at=job.expires_at,
        unique_key=None if job.unique is None else job.unique.key,
        ordering_key=job.ordering_key,
    )


def added_job(job: NewJob, added: Added) -> Job:
    """Return a job of a bulk insert."""
    created_at = added.created_at.astimezone(timezone.utc)
    run_at = added.run_at.astimezone(timezone.utc) if added.run_at else created_at
    state = JobState.Scheduled if added.later else JobState.Available
    return new_row(job, added.id, state, created_at=created_at, run_at=run_at)


def _holder(job: NewJob, inserted: Inserted, unique: UniqueOptions | None) -> Job:
    on_conflict = (unique and unique.on_conflict) or "error"
    row = codec.decode((inserted.existing or "{}").encode())
    if inserted.outcome == "existing" and on_conflict != "skip":
        started = ", and it has been started, so it cannot be replaced" if on_conflict == "replace" else ""
        raise UniqueConflict(
            f"could not insert a job of kind {job.kind!r}: job {inserted.id} ({row['state']}) holds its unique key"
            f"{started}. Nothing was inserted, and the transaction can go on",
            inserted.id,
        )
    return Job(
        id=inserted.id,
        kind=row["kind"],
        queue=row["queue"],
        state=JobState.parse(inserted.state),
        priority=row["priority"],
        attempt=row["attempt"],
        max_attempts=row["max_attempts"],
        timeout=seconds_of(row["timeout_ms"]),
        args=row["args"],
        tags=row["tags"],
        metadata=row["metadata"],
        unique_key=_unhex(row["unique_key"]),
        ordering_key=_unhex(row["ordering_key"]),
        run_at=_time(inserted.run_us),
        created_at=_time(inserted.created_us),
        expires_at=None if row["expires_at"] is None else moment(row["expires_at"]),
        conflict="replaced" if inserted.outcome == "replaced" else "skipped",
    )


def _unhex(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text.removeprefix("\\x"))


def _time(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def _delay(value: Any) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 <= seconds <= DELAY_S_MAX:
        return float(seconds)
    raise ValidationError(
        f"delay is {value!r}; it must be a number of seconds from 0 to {DELAY_S_MAX}, or a timedelta of that length"
    )


def _is_later(options: Options) -> bool:
    if options.run_at is not None:
        return options.run_at > datetime.now(timezone.utc)
    return bool(options.delay_s)


def _check_expiry(options: Options) -> None:
    expires_at = options.expires_at
    assert expires_at is not None
    now = datetime.now(timezone.utc)
    if expires_at <= now:
        raise ValidationError(f"expires_at is {expires_at.isoformat()}, which has passed: the job could never start")
    start = options.run_at or now + timedelta(seconds=options.delay_s or 0)
    if expires_at <= start:
        raise ValidationError(
            f"expires_at is {expires_at.isoformat()}, before the job may start ({start.isoformat()}): it never would"
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
