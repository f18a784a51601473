"""The invariants see what they are there to see: a sound little history, and one thing made wrong in it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.chaos import invariants, tables

pytestmark = pytest.mark.postgres

HISTORY = """
insert into awa.lane (queue, kind, priority) values ('default', 'work', 2);
insert into chaos.ledger select 'n' || i, 'work' from generate_series(1, 3) i;
insert into awa.job_log (kind, args) select kind, jsonb_build_object('n', n) from chaos.ledger order by n;
insert into awa.batch (sort_at, owner, lane, ids) values (now(), 7, 1, '{1,2,3}');
insert into chaos.effect (n, job, attempt, pid, what) select 'n' || i, i, 1, 1, 'ran' from generate_series(1, 3) i;
"""
SETTLED = """
begin;
delete from awa.batch;
insert into awa.attempt_log (job_id, started_at, finished_at, worker, lane, retry_round, attempt, outcome)
select i, now(), now(), 7, 1, 0, 1, 3 from generate_series(1, 3) i;
insert into awa.outcome_count (minute, lane, outcome, jobs) values (now(), 1, 3, 3);
commit;
"""
ATTEMPT = (
    "insert into awa.attempt_log (job_id, started_at, finished_at, worker, lane, retry_round, attempt, outcome) values "
)
WRONG = {
    "no committed job is lost": "insert into chaos.ledger values ('n4', 'work')",
    "no job exists that nobody committed": "delete from chaos.ledger where n = 'n2'",
    "each in one place": "insert into awa.batch (sort_at, lane, ids) values (now(), 1, '{2}')",
    "forgotten before its end": "delete from chaos.attempt where job = 2; delete from awa.job_log where id = 2",
    "no job has two ends": ATTEMPT + "(2, now(), now(), 7, 1, 0, 2, 3)",
    "attempts are counted": ATTEMPT + "(2, now(), now(), 7, 1, 0, 3, 3)",
    "the outcome count agrees": "delete from awa.outcome_count",
    "one worker at a time": "insert into awa.batch (sort_at, owner, lane, ids) values (now(), 7, 1, '{2}'), "
    "(now(), 8, 1, '{2}')",
    "settled out of the lease": ATTEMPT + "(2, now(), now(), 8, 1, 0, 2, 4)",
    "has been run to its end": "delete from chaos.effect where job = 2",
    "meant to fail": ATTEMPT + "(2, now(), now(), 7, 1, 0, 2, 5)",
    "exactly once": "insert into chaos.once values ('n2', 2, 1), ('n2', 2, 1)",
}


@pytest.fixture
def history(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """A database in which three jobs have been claimed, run and settled."""
    tables.create(connection)
    connection.execute(HISTORY)
    connection.execute(SETTLED)
    return connection


def test_a_sound_history_offends_nothing(history: psycopg.Connection[Any]) -> None:
    assert [str(verdict) for verdict in invariants.of_database(history) if not verdict.holds] == []


@pytest.mark.parametrize("claim", WRONG)
def test_what_is_wrong_is_seen(history: psycopg.Connection[Any], claim: str) -> None:
    history.execute(WRONG[claim].encode())
    broken = [str(verdict) for verdict in invariants.of_database(history) if not verdict.holds]
    assert any(claim in text for text in broken), broken


def test_every_query_is_tried_here() -> None:
    assert all(any(claim in query for claim in WRONG) for query in invariants.QUERIES)


def test_what_the_server_has_told_the_producer_is_held_against_it(history: psycopg.Connection[Any]) -> None:
    sound = invariants.of_producer(history, {"n1", "n2"}, {"n9"}, set())
    assert all(verdict.holds for verdict in sound)
    broken = invariants.of_producer(history, {"n1", "n8"}, {"n3"}, {2})
    assert [verdict.offenders for verdict in broken] == [["n8"], ["n3"], ["job 2 has outcome 3"]]
