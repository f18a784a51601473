"""One tree of exceptions. The docstring is what one means; its message says what happened, and to what."""


class AwaError(Exception):
    """Something Awa was asked to do was not done. Base of every exception Awa raises on purpose."""


# What a caller asked for


class ValidationError(AwaError):
    """A value is outside what Awa accepts; nothing was written. The text names the value, its place and the limits."""


class SerializationError(AwaError):
    """Stored data could not be turned into a Python value, or a value into stored data."""


class UniqueConflict(AwaError):
    """Another job holds the unique key (or a table of the application refused a duplicate: SQLSTATE 23505)."""

    def __init__(self, message: str, job_id: int | None = None) -> None:
        super().__init__(message)
        self.job_id = job_id
        """The job that holds the key; None where it was no job's unique key, or one of the same bulk insert has it."""

    def __reduce__(self) -> tuple[type["UniqueConflict"], tuple[str, int | None]]:
        return UniqueConflict, (str(self), self.job_id)


class JobNotFound(AwaError):
    """No job has this id: it never existed, or its retention has passed."""

    def __init__(self, job_id: int) -> None:
        super().__init__(f"job not found: {job_id}")
        self.job_id = job_id

    def __reduce__(self) -> tuple[type["JobNotFound"], tuple[int]]:
        return JobNotFound, (self.job_id,)


class StateConflict(AwaError):
    """The job exists, but the state it is in does not allow this step."""


class CallbackNotFound(AwaError):
    """No job waits for this callback: the id is unknown, was used already, or has timed out."""


# What a handler or an application did


class TerminalError(AwaError):
    """Raise this (or a subclass) in a handler to fail the job at once, whatever attempts remain."""


class JobTimeout(AwaError):
    """Raised in a handler whose time is up. It may tidy up and return or raise; after the grace it is killed."""


class JobCancelled(AwaError):
    """Raised in a handler whose job was cancelled, if its task asks for that (`raise_on_cancel`)."""


class LeaseLost(AwaError):
    """The job is no longer this worker's: it was cancelled, or given to others. Nothing was committed."""


class NotCommitted(AwaError):
    """The handler returned without having committed the transaction that was to complete its job."""


class UnknownJobKind(AwaError):
    """No handler is registered for this kind."""


class AppLoadError(AwaError):
    """The application named by `--app` could not be imported, or is not an `awa.Client`."""


# What the database said


class DatabaseError(AwaError):
    """Postgres refused a statement or could not be reached. The driver's exception is the `__cause__`."""


class OutcomeUnknown(AwaError):
    """The connection broke at a commit, so the server may or may not have committed. The text says how to find out.
    It is no `DatabaseError`, so that what catches that to try again does not insert jobs twice."""

    def __init__(self, message: str, job_ids: list[int] | tuple[()] = ()) -> None:
        super().__init__(message)
        self.job_ids = list(job_ids)
        """The ids of the jobs that are there if it was committed, where they are known: of `insert_many`."""

    def __reduce__(self) -> tuple[type["OutcomeUnknown"], tuple[str, list[int]]]:
        return OutcomeUnknown, (str(self), self.job_ids)


class SchemaNotMigrated(AwaError):
    """The database has no Awa schema, or one older than this release needs. `awa migrate` brings it up to date."""


class SchemaTooNew(AwaError):
    """The database was migrated by a newer release than this one, which must not touch it. Install that release."""


class StorageNotFinalized(AwaError):
    """A change of the storage format has been started and not finished; this step has to wait for it."""


class LiveRuntimesRequireExclusiveWindow(AwaError):
    """A migration that must run alone found supervisors running. Stop them, or ask for it explicitly."""


class RuntimeVersionFloorNotMet(AwaError):
    """The database demands a newer release than this process runs."""


class EmbeddedError(AwaError):
    """The embedded Postgres server could not be found, initialised, started or stopped."""
