"""Turns the arguments of `insert` into rows of the log: encoded and routed before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import Any

from awa.engine.insert.single import Envelope, NewJob, Unique
from awa.enqueue.wake import wakes_by_default
from awa.errors import ValidationError
from awa.job import codec
from awa.job import kind as job_kind
from awa.job.options import DEFAULT_QUEUE, OPTION_NAMES, JobOpts, Options, check_bulk, check_options
from awa.job.unique.key import key_for
from awa.job.validate import check_name
from awa.task.registry import Registry


# It stands here, and not with awa.enqueue.results, since pickles name the module of a class.
@dataclass(frozen=True, slots=True)
class InsertedMany:
    """The result of a bulk insert. Its length is the number of new jobs; iterated, it yields their ids."""

    ids: list[int]
    """The new jobs, in the order they were given."""
    inserted: int
    skipped: int
    """Jobs left out because another holds their unique key."""
    skipped_at: Sequence[int] = ()
    """Their places among the jobs given, from zero."""

    def __len__(self) -> int:
        return self.inserted

    def __iter__(self) -> Iterator[int]:
        return iter(self.ids)


def new_job(registry: Registry, args: Any, options: Options) -> NewJob:
    """Return one job, ready to insert. Raises ValidationError that names the offending value by its path."""
    return _job(registry, args, options, _envelope(registry, args, options))


def new_jobs(
    registry: Registry, jobs: Iterable[Any], shared: Mapping[str, Any], opts: JobOpts | None
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
    """Yield jobs with the same options. There is one envelope per type of arguments."""
    envelopes: dict[type, Envelope] = {}
    bytes_max, is_unique = registry.payload_bytes_max, options.unique is not None
    for at, args in enumerate(jobs):
        try:
            envelope = envelopes.get(type(args))
            if envelope is None:
                envelope = envelopes[type(args)] = _envelope(registry, args, options)
            if is_unique:
                job = _job(registry, args, options, envelope)
            else:
                job = NewJob(codec.encode_args(args, bytes_max=bytes_max), envelope)
        except ValidationError as refusal:
            raise ValidationError(f"jobs[{at}]: {refusal}") from refusal
        yield job


def _jobs_apart(registry: Registry, jobs: Iterable[Any], shared: Mapping[str, Any], opts: JobOpts) -> Iterator[NewJob]:
    at = -1
    for at, args in enumerate(jobs):
        if at >= len(opts):
            raise ValidationError(_unequal(len(opts), f"more than {len(opts)}"))
        try:
            options = check_options(**{**shared, **_own(opts[at])})
            check_bulk(options)
            job = _job(registry, args, options, _envelope(registry, args, options))
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


def _job(registry: Registry, args: Any, options: Options, envelope: Envelope) -> NewJob:
    raw, is_in_order = codec.encode_args_in_order(args, bytes_max=registry.payload_bytes_max)
    unique = options.unique
    if unique is None:
        return NewJob(raw, envelope)
    digest = key_for(envelope.kind, envelope.queue, raw, unique, is_in_order=is_in_order)
    return NewJob(raw, envelope, Unique(digest, unique.states, unique.on_conflict == "error"))


def _envelope(registry: Registry, args: Any, options: Options) -> Envelope:
    """Return what is said of a job: kind, queue and attempts as the caller says, else as the arguments' type and its
    task here say."""
    kind = options.kind
    if kind is None:
        kind = job_kind.kind_of(args)
        check_name("kind", kind)
    task = registry.get(kind)
    return Envelope(
        options.queue or (task.queue if task else DEFAULT_QUEUE),
        kind,
        options.priority,
        options.max_attempts or (task.policy.attempts if task else None),
        options.run_at,
        options.metadata,
        options.tags,
        options.timeout_ms,
        options.delay_s,
        options.expires_at,
        options.ordering_key,
        _wakes(registry, options),
    )


def _wakes(registry: Registry, options: Options) -> bool:
    if options.wake is not None:
        return options.wake
    return wakes_by_default() if registry.wakes is None else registry.wakes
