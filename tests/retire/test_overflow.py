"""Ids that ran past the last segment, and statements that were under way while new segments took their rows in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from awa.database.open import connect
from awa.engine import claim, nodes, retire, seal
from awa.engine.insert import bulk, single
from awa.engine.insert.single import Envelope, NewJob
from awa.telemetry import events
from tests.fixtures.postgres import both_servers
from tests.fixtures.waiting import Session

Connection = psycopg.Connection[Any]
JOB = NewJob(b"{}", Envelope("default", "noop", 2, 25))
SEGMENT_IDS = 1_000_000


@pytest.fixture
def db(database: str) -> Iterator[Connection]:
    with connect(database, role="test") as connection:
        yield connection


def run_past_the_end(db: Connection, jobs: int) -> list[int]:
    """Insert jobs of which the first half lies in the last segment and the rest beyond it."""
    (end,) = db.execute("select max(end_id) from awa.segment").fetchone() or (0,)
    db.execute("select setval('awa.job_id', %s)", [end - 1 - jobs // 2])
    with db.transaction():
        return bulk.insert_many(db, [JOB] * jobs).ids


def placed(db: Connection) -> list[int]:
    return [row[0] for row in db.execute("select unnest(ids) from awa.batch order by 1")]


@both_servers
def test_a_seal_and_an_insert_under_way_while_rows_move_into_a_segment(
    db: Connection, session: Callable[..., Session]
) -> None:
    """They were planned when the default partition still held the rows; both must come out right all the same."""
    ids = run_past_the_end(db, 10)
    leader, sealer, producer = session("leader"), session("sealer"), session("producer")
    leader.run("begin")
    leader.run("select awa.extend_log(%s, 4)", [SEGMENT_IDS])
    sealer.start(seal.seal)
    producer.start(
        "insert into awa.job_log (kind, queue, args) values ('noop', 'default', '{}') returning id",
    )
    producer.until_blocked()
    leader.run("commit")
    ((late,),) = producer.result()
    sealer.result()
    seal.seal_all(db)
    assert placed(db) == sorted([*ids, late])
    assert db.execute("select count(*) from awa.job_log_default").fetchone() == (0,)


@both_servers
def test_bodies_are_found_while_rows_move(db: Connection, session: Callable[..., Session]) -> None:
    ids = run_past_the_end(db, 10)
    seal.seal_all(db)
    node = nodes.register_node(db, "here", ["noop"])
    worker = nodes.register_worker(db, node)
    assert worker is not None
    (lane,) = claim.lanes(db, ["noop"])
    claimed = claim.claim(db, worker, [claim.LaneRequest(lane.id, claim.FROM_THE_START, 1.0)], budget_us=1000)
    assert claimed.jobs == 10
    leader, reader = session("leader"), session("reader")
    leader.run("begin")
    leader.run("select awa.extend_log(%s, 4)", [SEGMENT_IDS])
    reader.start(claim.bodies, ids)
    leader.run("commit")
    assert sorted(reader.result()) == ids


def test_a_wide_gap_becomes_one_segment_and_few_are_made_at_a_time(db: Connection) -> None:
    db.execute("select setval('awa.job_id', 5500000)")
    single.insert(db, JOB)
    assert retire.extend(db, 1_000, 20) == 8
    widths = [row[0] for row in db.execute("select end_id - first_id from awa.segment order by first_id offset 4")]
    assert widths[0] == 1_501_000
    assert widths[1:] == [1_000] * 7
    while retire.extend(db, 1_000, 20):
        pass
    assert db.execute("select count(*) from awa.segment where first_id > 5500001").fetchone() == (20,)
    assert db.execute("select count(*) from awa.job_log_default").fetchone() == (0,)


def test_an_overflow_that_cannot_be_mended_for_now_is_said_and_refuses_nobody(
    db: Connection, session: Callable[..., Session]
) -> None:
    run_past_the_end(db, 10)
    producer = session("producer")
    producer.run("begin")
    producer.run("insert into awa.job_log (kind) values ('noop')")
    said: list[str] = []
    unsubscribe = events.subscribe(lambda event, fields: said.append(event))
    try:
        assert retire.extend(db, SEGMENT_IDS, 4) == 0
        assert events.RETIRE_OVERFLOW in said
        single.insert(db, JOB)
        producer.run("commit")
        said.clear()
        assert retire.extend(db, SEGMENT_IDS, 4) > 0
        assert events.RETIRE_OVERFLOW not in said
    finally:
        unsubscribe()
    seal.seal_all(db)
    assert len(placed(db)) == 12
