"""Every setting of the supervisor, once: name, flag, environment variable, default, limits, meaning.

The command line, the reference documentation and `Settings` are all made from `SETTINGS`. A flag wins over the
environment, the environment over the default; an empty value counts as none. Units stand at the end of names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from awa.errors import ValidationError
from awa.text.suggest import unknown

Kind = Literal["text", "names", "integer", "number", "choice"]

HEARTBEAT_STALE_RATIO = 3
"""A node that has missed this many heartbeats is taken for dead."""
NAME_LENGTH_MAX = 200


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as data."""

    name: str
    kind: Kind
    default: Any
    """None means: see the meaning."""
    meaning: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    variable: str = ""
    """The environment variable, where it is not AWA_ and the name."""

    @property
    def env(self) -> str:
        """The environment variable: AWA_POLL_INTERVAL_MS."""
        return self.variable or f"AWA_{self.name.upper()}"

    @property
    def flag(self) -> str:
        """The command-line flag: --poll-interval-ms."""
        return "--" + self.name.replace("_", "-")

    @property
    def allowed(self) -> str:
        """The allowed values, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.minimum is not None and self.maximum is not None:
            noun = "a whole number" if self.kind == "integer" else "a number"
            return f"{noun} from {self.minimum:,} to {self.maximum:,}"
        if self.kind == "names":
            return f"names separated by commas, each of 1 to {NAME_LENGTH_MAX} printable characters"
        return "text"

    def read(self, value: object, source: str) -> Any:
        """Return `value`, text or already typed, as this setting's type.

        Raises ValidationError that names the setting, `source` and what is allowed.
        """
        try:
            return self._checked(value)
        except (ValueError, OverflowError):
            raise ValidationError(
                f"setting {self.name} is {value!r} (from {source}); it must be {self.allowed}"
            ) from None

    def _checked(self, value: object) -> Any:
        match self.kind:
            case "integer":
                return self._in_range(_whole(value))
            case "number":
                return self._in_range(float(str(value)))
            case "names":
                return _names(value)
            case "choice":
                return self._chosen(str(value).strip().lower())
            case "text":
                return str(value)

    def _in_range(self, number: float) -> float:
        low, high = self.minimum, self.maximum
        if not math.isfinite(number) or (low is not None and number < low) or (high is not None and number > high):
            raise ValueError(number)
        return number

    def _chosen(self, choice: str) -> str:
        if choice not in self.choices:
            raise ValueError(choice)
        return choice


def _whole(value: object) -> int:
    if isinstance(value, float):
        raise ValueError(value)
    return int(str(value).replace("_", ""))


def _names(value: object) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else [str(part) for part in value]  # type: ignore[attr-defined]
    names = tuple(dict.fromkeys(part.strip() for part in parts))
    if not names or not all(name.isprintable() and 0 < len(name) <= NAME_LENGTH_MAX for name in names):
        raise ValueError(value)
    return names


SETTINGS = (
    Setting(
        "app",
        "text",
        None,
        "The application's client, or what leads to it: package.module:client or package.module:factory(). Required.",
    ),
    Setting(
        "database_url",
        "text",
        None,
        "The database, as a postgresql:// address, libpq keywords, or embedded://. Left out, the client's own.",
        variable="DATABASE_URL",
    ),
    Setting(
        "processes",
        "integer",
        None,
        "How many worker processes to keep. Left out: one per CPU that is available, as affinity and cgroup allow.",
        1,
        1024,
    ),
    Setting(
        "max_jobs",
        "integer",
        0,
        "After how many jobs a worker process is replaced by a fresh one, each at up to a tenth fewer; 0: never.",
        0,
        1_000_000_000,
    ),
    Setting(
        "max_memory_mb",
        "integer",
        0,
        "A worker process is replaced by a fresh one, after the job it is in, when its resident memory has grown by "
        "more than this since it began, in MiB; 0: never.",
        0,
        16_777_216,
    ),
    Setting(
        "start_timeout_s",
        "number",
        60.0,
        "How long each function given to on_worker_start may take, in seconds. Then its worker is killed, and another "
        "is started after a pause.",
        0.1,
        86_400,
    ),
    Setting("queues", "names", None, "The queues to work on. Left out: the queues of all registered tasks."),
    Setting(
        "poll_interval_ms",
        "integer",
        100,
        "How often an idle worker looks for work that no notification announced, in milliseconds.",
        1,
        60_000,
    ),
    Setting(
        "heartbeat_interval_s",
        "number",
        5.0,
        "How often this node says that it is alive, in seconds. After three times as long without a word its jobs "
        "are given to others.",
        0.1,
        300,
    ),
    Setting(
        "stuck_after_ms",
        "integer",
        1000,
        "After how long in one job the rest of a worker's lease is given to others, in milliseconds.",
        50,
        3_600_000,
    ),
    Setting(
        "drain_timeout_s",
        "number",
        25.0,
        "How long running jobs may go on after TERM or INT before they are killed and requeued, in seconds.",
        0,
        86_400,
    ),
    Setting(
        "leader_interval_s",
        "number",
        5.0,
        "How often a node tries to become, or confirms that it is, the leader, in seconds.",
        0.05,
        300,
    ),
    Setting(
        "promote_interval_ms",
        "integer",
        250,
        "How often the leader brings back deferred jobs that are due, in milliseconds.",
        10,
        60_000,
    ),
    Setting(
        "retention_completed_h",
        "number",
        24.0,
        "How long completed and cancelled jobs stay readable, in hours.",
        0,
        87_600,
    ),
    Setting("retention_failed_h", "number", 72.0, "How long failed jobs stay readable, in hours.", 0, 87_600),
    Setting("retention_dlq_h", "number", 720.0, "How long dead letters are kept, in hours.", 0, 87_600),
    Setting(
        "segment_ids",
        "integer",
        1_000_000,
        "How many job ids one segment of the log holds.",
        100_000,
        100_000_000,
    ),
    Setting(
        "segment_age_h",
        "number",
        24.0,
        "After how long a new segment of the log is begun even if the last one is not full, in hours.",
        0.01,
        8_760,
    ),
    Setting("log_format", "choice", "text", "How log lines are written.", choices=("text", "json")),
    Setting(
        "log_level",
        "choice",
        "info",
        "The least severe log lines that are written.",
        choices=("debug", "info", "warning", "error"),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one supervisor, checked. What each means stands in `SETTINGS`."""

    app: str | None = None
    database_url: str | None = None
    processes: int | None = None
    max_jobs: int = 0
    max_memory_mb: int = 0
    start_timeout_s: float = 60.0
    queues: tuple[str, ...] | None = None
    poll_interval_ms: int = 100
    heartbeat_interval_s: float = 5.0
    stuck_after_ms: int = 1000
    drain_timeout_s: float = 25.0
    leader_interval_s: float = 5.0
    promote_interval_ms: int = 250
    retention_completed_h: float = 24.0
    retention_failed_h: float = 72.0
    retention_dlq_h: float = 720.0
    segment_ids: int = 1_000_000
    segment_age_h: float = 24.0
    log_format: str = "text"
    log_level: str = "info"

    @property
    def heartbeat_stale_s(self) -> float:
        """After how long without a heartbeat a node is taken for dead, in seconds: always three intervals."""
        return self.heartbeat_interval_s * HEARTBEAT_STALE_RATIO

    @classmethod
    def from_sources(cls, flags: Mapping[str, object], env: Mapping[str, str]) -> Settings:
        """Read every setting from `flags` (by name; None means not given), else from `env`, else its default.

        Raises ValidationError that names the setting, where its value came from, and what is allowed; TypeError for a
        flag that no setting has.
        """
        if strange := flags.keys() - {setting.name for setting in SETTINGS}:
            names = [setting.name for setting in SETTINGS]
            raise TypeError("; ".join(unknown("setting", name, names) for name in sorted(strange)))
        return cls(**{setting.name: _resolve(setting, flags, env) for setting in SETTINGS})


def _resolve(setting: Setting, flags: Mapping[str, object], env: Mapping[str, str]) -> Any:
    given = flags.get(setting.name)
    if given not in (None, "", ()):
        return setting.read(given, setting.flag)
    if text := env.get(setting.env, "").strip():
        return setting.read(text, f"${setting.env}")
    return setting.default
