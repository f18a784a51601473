"""The options of an insert: what there is, what each may be, and what holds where nothing is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Final, NamedTuple

from awa.errors import ValidationError
from awa.job import codec
from awa.job.model import JobState
from awa.job.moments import moment
from awa.job.ordering_key import ordering_key_bytes
from awa.job.unique.options import UniqueOptions, check_begins, check_unique
from awa.job.validate import MAX_ATTEMPTS, check_name, check_timeout, check_wake, check_whole

DEFAULT_QUEUE: Final = "default"
DEFAULT_PRIORITY: Final = 2
PRIORITY: Final = range(1, 5)
TAGS_MAX: Final = 20
DELAY_S_MAX: Final = 3_155_760_000
"""A hundred years."""
_INT16: Final = range(-(2**15), 2**15)

JobOpts = Sequence[Mapping[str, Any] | None]
"""The values that differ for each of many jobs."""


class Options(NamedTuple):
    """The values that all jobs of one call share, checked and encoded."""

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
    wake: bool | None


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
    wake: bool | None = None,
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
        check_wake(wake),
    )
    if options.expires_at is not None:
        _check_expiry(options)
    if options.unique is not None:
        check_begins(options.unique, JobState.Scheduled if _is_later(options) else JobState.Available)
    return options


OPTION_NAMES: Final = tuple(check_options.__kwdefaults__ or ())
"""In the order of the signature."""


def check_bulk(options: Options) -> None:
    """Raise ValidationError for what cannot be done with many jobs at once."""
    if options.unique is not None and options.unique.on_conflict == "replace":
        raise ValidationError(
            "unique_opts on_conflict is 'replace', which is for one job at a time: call insert for it. Many at once "
            "leave duplicates out ('skip', the default) or refuse them ('error')"
        )


def _whole(name: str, value: Any, allowed: range) -> int:
    if isinstance(value, int) and value not in _INT16:
        raise OverflowError(f"{name} is {value}; it must be a whole number from {allowed[0]} to {allowed[-1]}")
    return check_whole(name, value, allowed)


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
