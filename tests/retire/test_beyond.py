"""More ids beside the segments than can be moved under a lock: they stay there, and new segments begin beyond."""

from collections.abc import Callable

import psycopg
import pytest

from awa.engine import retire
from awa.engine.admin import control
from awa.engine.claim import bodies
from awa.engine.seal import seal_all
from awa.engine.settle import settle
from tests.engine.helpers import Connection, add, all_in, ids_of, outcomes, sign_in, state, take
from tests.fixtures.postgres import both_servers
from tests.fixtures.waiting import Session
from tests.retire.conftest import SEGMENT_IDS
from tests.retire.steps import AT_ONCE, S, drop, value, watch_until_sealed

STEPS = 4
IN_DEFAULT = "select count(*) from awa.job_log_default"


@pytest.fixture(autouse=True)
def nothing_is_moved(db: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there were always too much to move, once the first segments of `db` are made."""
    monkeypatch.setattr(retire, "MOVE_BYTES_MAX", -(2**40))


def extend(db: Connection) -> int:
    return retire.extend(db, SEGMENT_IDS, 2)


@both_servers
def test_ids_beside_the_segments_stay_and_new_segments_begin_beyond(db: Connection) -> None:
    ids = add(db, 45)
    seal_all(db)
    worker = sign_in(db)
    claimed = ids_of(take(db, worker))
    settle(db, worker, outcomes(claimed[:40]))
    places = db.execute("select id, tableoid, ctid from awa.job_log order by id").fetchall()
    assert [extend(db) for _ in range(STEPS)] == [1, 1, 2, 1]
    assert db.execute("select id, tableoid, ctid from awa.job_log order by id").fetchall() == places
    (new,) = add(db)
    assert new == value(db, "select end_id from awa.segment where in_default") > 10**9
    assert value(db, "select tableoid::regclass::text from awa.job_log where id = %s", new) != "awa.job_log_default"
    assert seal_all(db) == 1
    assert settle(db, worker, outcomes(claimed[40:])) == set(claimed[40:])
    assert {state(db, job) for job in ids} == {"completed"}


@pytest.mark.parametrize("steps", range(STEPS + 1))
def test_whoever_extends_next_goes_on_and_inserts_go_on_between(db: Connection, steps: int) -> None:
    """Whatever has been inserted in whichever state, before, between and after, is sealed and run."""
    ids = add(db, 35)
    for _ in range(steps):
        extend(db)
        ids += add(db, 2)
    seal_all(db)
    ids += add(db, 2)
    while extend(db):
        ids += add(db, 1)
    assert value(db, "select last_value > 1000000000 from awa.job_id")
    assert value(db, "select count(*) from pg_constraint where conname like 'below%%'") == 0
    seal_all(db)
    assert all_in(db, "ready", ids)


@both_servers
def test_jobs_beside_the_segments_are_moved_to_held_and_go_on_living(db: Connection) -> None:
    ids = add(db, 45)
    seal_all(db)
    worker = sign_in(db)
    claimed = ids_of(take(db, worker, 40))
    settle(db, worker, outcomes(claimed[:35]))
    settle(db, worker, outcomes(claimed[35:38], S.Failed))
    while extend(db):
        pass
    unsealed = value(db, "select count(*) from awa.segment where in_default and not sealed")
    assert unsealed == 1
    assert retire.clear_strays(db) == 0, "not all of it is known to be sealed"
    watch_until_sealed(db)
    before = [control.get(db, job) for job in ids]
    assert retire.clear_strays(db, goes_on=lambda: False) == 0
    assert retire.clear_strays(db) == 1
    assert value(db, IN_DEFAULT) == 0
    assert [control.get(db, job) for job in ids] == before
    settle(db, worker, outcomes(claimed[38:]))
    assert value(db, "select count(*) from awa.attempt_log_default") == 2
    retire.clear_strays(db)
    assert value(db, "select count(*) from awa.attempt_log_default") == 0
    assert ids_of(take(db, worker)) == ids[40:]
    assert bodies(db, ids[40:]).keys() == set(ids[40:])
    assert {state(db, job) for job in claimed[35:38]} == {"failed"}
    assert drop(db) == 3, "the segments before them go as always"
    retire.prune(db, AT_ONCE, recheck_s=0.0)
    assert value(db, "select count(*) from awa.job_archive") == 5


def test_a_second_overflow_is_mended_as_the_first(db: Connection) -> None:
    ids = add(db, 35)
    while extend(db):
        pass
    ids += add(db, 45)
    while extend(db):
        pass
    assert value(db, "select count(*) from awa.segment where in_default") == 2
    seal_all(db)
    assert all_in(db, "ready", ids)


def test_inserts_go_on_while_the_constraint_is_validated(db: Connection, session: Callable[..., Session]) -> None:
    add(db, 35)
    assert extend(db) == 1
    leader = session("leader")
    leader.run("begin")
    assert leader.value("select awa.extend_beyond(10, 2)") == 1
    db.execute("set lock_timeout = '1ms'")
    assert len(add(db, 3)) == 3
    leader.run("commit")


@pytest.mark.parametrize("call", ["extend_log", "extend_beyond"])
@pytest.mark.parametrize("wanted", ["0, 2", "10000000000, 2", "10, 0", "10, 65"])
def test_sizes_that_make_no_sense_are_refused(db: Connection, call: str, wanted: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="a segment has 1 to 1000000000 ids"):
        db.execute(f"select awa.{call}({wanted})")
