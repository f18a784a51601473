"""The keeper's process is killed, or stopped, at each of its round trips: nothing is lost, no session waits for it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator
from typing import Any, NamedTuple

import pytest

from awa.database.open import connect
from awa.database.timeout import BoundedConnection
from awa.engine import retire, seal
from awa.engine.settle import settle
from tests.engine.helpers import Connection, add, add_unsealed, ids_of, outcomes, places, sign_in, take
from tests.fixtures.waiting import until
from tests.retire.conftest import SEGMENT_IDS
from tests.retire.steps import AT_ONCE, age, pass_by, run, value, watch_until_sealed

pytestmark = [pytest.mark.processes, pytest.mark.slow]


class Duty(NamedTuple):
    """Something that the keeper does."""

    prepare: Callable[[Connection], list[int]]
    """Make something to do; return jobs of kind "work" that have not been run."""
    do: Callable[[Connection], object]
    """Do it, until it is done or a lock is in the way."""
    is_done: Callable[[Connection], object]


def to_leave(db: Connection) -> list[int]:
    while retire.extend(db, SEGMENT_IDS, 3):
        pass
    ids = add(db, 7)
    seal.seal_all(db)
    pass_by(db)
    watch_until_sealed(db)
    run(db, kind="filler")
    return ids


def leave(db: Connection) -> None:
    retire.retire(db, AT_ONCE, recheck_s=0.0)


def has_left(db: Connection) -> object:
    open_from = value(db, "select min(first_id) from awa.segment where not sealed or exhausted_at is null")
    return value(db, "select count(*) = 0 from awa.segment where sealed and first_id < %s", open_from)


def beside_the_segments(db: Connection) -> list[int]:
    left: int = value(db, "select max(end_id) - 1 - (select last_value from awa.job_id) from awa.segment")
    ids = add(db, left + 5)
    seal.seal_all(db)
    return ids


def extend(db: Connection) -> None:
    while retire.extend(db, SEGMENT_IDS, 2):
        pass


def has_extended(db: Connection) -> object:
    return value(
        db, "select max(end_id) - 1 - (select last_value from awa.job_id) >= %s from awa.segment", 2 * SEGMENT_IDS
    )


def clear(db: Connection) -> None:
    extend(db)
    for _ in range(6):
        retire.watch(db)
    retire.clear_strays(db)


def is_clear(db: Connection) -> object:
    beside = "select last_value >= (select max(end_id) from awa.segment) from awa.job_id"
    return not value(db, "select exists (select from awa.segment where in_default)") and not value(db, beside)


def restored(db: Connection) -> list[int]:
    while retire.extend(db, SEGMENT_IDS, 3):
        pass
    ids = add_unsealed(db, 12)
    db.execute("update awa.seal_ledger set system_id = system_id + 1")
    return ids


def reseal(db: Connection) -> None:
    while seal.seal(db, jobs_max=5).more:
        pass


def is_sealed(db: Connection) -> object:
    return value(db, "select not exists (select from awa.restored)") and not seal.seal(db).jobs


def held_long(db: Connection) -> list[int]:
    ids = to_leave(db)
    worker = sign_in(db)
    settle(db, worker, outcomes(ids_of(take(db, worker, 4))))
    until(lambda: (leave(db), has_left(db))[1])
    age(db, 1.0)
    db.execute("update awa.job_archive set look_at = now() - interval '1 hour'")
    return ids[4:]


def prune(db: Connection) -> None:
    retire.prune(db, AT_ONCE, recheck_s=0.0)
    retire.prune_keys(db, AT_ONCE, 0)
    retire.prune_routes(db)


def is_pruned(db: Connection) -> object:
    return value(
        db,
        "select count(*) = 0 from awa.job_archive h "
        "where exists (select from awa.every_attempt e where e.job_id = h.id)",
    )


DUTIES = {
    "leave": Duty(to_leave, leave, has_left),
    "extend": Duty(beside_the_segments, extend, has_extended),
    "extend_beyond": Duty(beside_the_segments, clear, is_clear),
    "reseal": Duty(restored, reseal, is_sealed),
    "prune": Duty(held_long, prune, is_pruned),
}


class Ending(NamedTuple):
    """How the process comes to its end."""

    signal: signal.Signals
    in_flight: bool
    """The question has been sent, and the answer has not been read; else: it has been, and nothing more was done."""

    def __str__(self) -> str:
        return f"{self.signal.name}-{'sent' if self.in_flight else 'read'}"


ENDINGS = [Ending(signal.SIGKILL, True), Ending(signal.SIGSTOP, True), Ending(signal.SIGSTOP, False)]


def end_at(trip: int, ending: Ending) -> None:
    """Have this process end at a round trip (from 1)."""
    usual, made = BoundedConnection.wait, 0

    def wait(self: BoundedConnection, gen: Generator[Any, Any, Any], *args: Any, **options: Any) -> Any:
        nonlocal made
        made += 1
        if made != trip:
            return usual(self, gen, *args, **options)
        if ending.in_flight:
            next(gen, None)
        else:
            usual(self, gen, *args, **options)
        os.kill(os.getpid(), ending.signal)
        raise AssertionError("goes on")

    BoundedConnection.wait = wait  # type: ignore[method-assign, assignment]


def begin(database: str, duty: Duty, trip: int, ending: Ending) -> int | None:
    """Do the duty in a child that ends at a round trip; return its process id, None if it made fewer."""
    child = os.fork()
    if not child:
        status = 1
        try:
            with connect(database, role="keeper", response_timeout_s=30.0) as connection:
                end_at(trip, ending)
                duty.do(connection)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, os.WUNTRACED)
    if os.WIFEXITED(status):
        assert os.WEXITSTATUS(status) == 0, "the duty has failed"
        return None
    return child


def seal_soon(db: Connection, ids: list[int]) -> None:
    """Seal until each of some jobs is in its place: what the dead one has sent may still be under way."""

    def are_sealed() -> bool:
        seal.seal(db)
        where = places(db)
        return all(where[job] != ["unsealed"] for job in ids)

    until(are_sealed, message="sealing goes on although the keeper does not")


@pytest.mark.parametrize(
    "ending", ENDINGS, ids=lambda each: f"{each.signal.name}-{'sent' if each.in_flight else 'read'}"
)
@pytest.mark.parametrize("duty", DUTIES.values(), ids=DUTIES)
@pytest.mark.usefixtures("small_steps")
def test_it_ends_at_any_round_trip(
    db: Connection,
    database: str,
    duty: Duty,
    ending: Ending,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "beyond" in request.node.name:
        monkeypatch.setattr(retire, "MOVE_BYTES_MAX", -(2**40))
    db.execute("set statement_timeout = '5s'")
    worker = sign_in(db)
    trip, child = 0, 0
    while child is not None:
        trip += 1
        ids = duty.prepare(db)
        child = begin(database, duty, trip, ending)
        new = add(db, 3)
        seal_soon(db, new)
        early = ids_of(take(db, worker, 4))
        assert settle(db, worker, outcomes(early)) == set(early)
        if child is not None and ending.signal == signal.SIGSTOP:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        until(lambda: (duty.do(db), duty.is_done(db))[1], message=f"the next one goes on behind round trip {trip}")
        seal_soon(db, [])
        late = ids_of(take(db, worker))
        assert sorted(early + late) == sorted(ids + new), f"behind round trip {trip}"
        assert settle(db, worker, outcomes(late)) == set(late)
        assert all(where == ["ended"] for where in places(db).values())
    assert trip > 2
