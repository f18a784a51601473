"""What tests of retire say again and again: leave a segment, run its jobs, drop it, look what is left."""

from collections.abc import Iterable
from typing import Any

from awa.engine import leaving, retire
from awa.engine.settle import settle
from awa.job.model import JobState
from tests.engine.helpers import Connection, add, ids_of, outcomes, sign_in, take

AT_ONCE = leaving.Retention(0.0, 0.0)
S = JobState


def value(db: Connection, query: str, *args: Any) -> Any:
    """The only value of the only row."""
    row = db.execute(query.encode(), args).fetchone()
    assert row is not None
    return row[0]


def pass_by(db: Connection) -> list[int]:
    """Insert jobs of kind "filler" until the sequence has left the segment it is in; return them."""
    end_id = value(db, "select min(end_id) from awa.segment, awa.job_id where end_id > last_value + is_called::int")
    ids = []
    while not ids or ids[-1] < end_id:
        ids += add(db, kind="filler")
    return ids


def watch_until_sealed(db: Connection) -> None:
    """Let the leader watch until no segment that was left waits for anything."""
    for _ in range(6):
        retire.watch(db)
    assert value(db, "select count(*) from awa.segment where exhausted_at is not null and not sealed") == 0


def run(db: Connection, ids: Iterable[int] = (), state: JobState = S.Completed, kind: str = "work") -> None:
    """Claim everything of a kind and settle it, or only the jobs given, in the same way."""
    worker = sign_in(db)
    claimed = ids_of(take(db, worker, 10_000, kind))
    settle(db, worker, outcomes(list(ids) or claimed, state))


def age(db: Connection, hours: float) -> None:
    """Make everything that has happened so far older."""
    attempts = [(table, "finished_at") for table in ("attempt_log", "attempt_archive")]
    for table, column in (*attempts, ("segment", "exhausted_at"), ("segment", "opened_at")):
        db.execute(f"update awa.{table} set {column} = {column} - make_interval(secs => {hours * 3600})".encode())


def drop(db: Connection, retention: leaving.Retention = AT_ONCE) -> int:
    """Drop what may go; return how many segments went."""
    return retire.retire(db, retention, recheck_s=0.0)


def held(db: Connection) -> list[int]:
    """The jobs whose bodies live on."""
    return [row[0] for row in db.execute("select id from awa.job_archive order by id")]
