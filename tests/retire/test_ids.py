"""An id sequence that is behind, and rows that came in by another way: no job is passed over."""

from __future__ import annotations

from typing import Any

import pytest

from awa.engine import seal
from awa.engine.seal import seal_all
from awa.supervisor.duties.ids import Ids
from tests.engine.helpers import Connection, add, add_sealed, all_in, places
from tests.retire.steps import drop, run, value, watch_until_sealed
from tests.retire.test_closing import INSERT, Sessions

Events = list[tuple[str, dict[str, Any]]]


def with_a_past(db: Connection) -> int:
    """Have ids up to 25 used up, and the segments of the first twenty dropped; return the floor of sealing."""
    add(db, 25)
    seal_all(db)
    run(db)
    watch_until_sealed(db)
    assert drop(db) == 2
    return seal.seal(db).floor


def test_jobs_whose_ids_were_behind_are_sealed_after_all(db: Connection, session: Sessions, events: Events) -> None:
    floor = with_a_past(db)
    assert floor > 20
    assert not seal.mend_ids(db)
    assert events == [] or all(name != "seal.ids_behind" for name, _ in events)
    db.execute("select setval('awa.job_id', 1, false)")
    late = session("late")
    late.run("begin")
    first, open_one = add(db)[0], late.value(INSERT)
    assert (first, open_one) == (1, 2)
    seal_all(db, floor)
    assert places(db)[first] == ["unsealed"]

    Ids().run_once(db)
    assert [fields for name, fields in events if name == "seal.ids_behind"] == [{"at": 2, "raised_to": 25}]
    assert value(db, "select last_value from awa.job_id") >= 25
    (after,) = add(db)
    seal_all(db, floor)
    assert all_in(db, "ready", [first, after])
    late.run("commit")
    seal_all(db, floor)
    assert all_in(db, "ready", [first, open_one, after])
    assert not seal.mend_ids(db)


def test_a_sequence_far_behind_is_moved_at_once(db: Connection) -> None:
    db.execute(
        "update awa.segment set exhausted_at = now(), end_id = 5000000 "
        "where end_id = (select max(end_id) from awa.segment)"
    )
    assert not seal.mend_ids(db)
    assert add(db) == [5_000_000]


def test_while_another_session_seals_the_next_round_does_it(db: Connection, session: Sessions) -> None:
    with_a_past(db)
    db.execute("select setval('awa.job_id', 1, false)")
    sealer = session("sealer")
    sealer.run("begin")
    sealer.run("select awa.become_sealer()")
    assert seal.mend_ids(db)
    assert value(db, "select last_value from awa.job_id") == 1
    sealer.run("commit")
    assert not seal.mend_ids(db)
    assert add(db)[0] > 25


LOAD = """
    insert into awa.job_log (id, kind, xid)
    select nextval('awa.job_id'), 'work', %s from generate_series(1, 3) returning id"""
OLD, FUTURE = "3", "900000000000"


@pytest.mark.parametrize("xid", [OLD, FUTURE])
def test_rows_that_were_loaded_meanwhile_are_sealed_before_their_segment_goes(
    db: Connection, events: Events, xid: str
) -> None:
    """As pg_restore loads them: with the transaction ids of another cluster."""
    sealed = add_sealed(db, 2)
    loaded = [job for (job,) in db.execute(LOAD, [xid])]
    add(db, 20)
    seal_all(db)
    assert all_in(db, "unsealed", loaded)
    watch_until_sealed(db)
    run(db, sealed)
    drop(db)
    assert "retire.refused" in [name for name, _ in events]
    seal_all(db)
    assert all_in(db, "ready", loaded)
