"""What the statements of every job write and read: nothing for what happens rarely."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from awa.database.statements import statement
from awa.engine import nodes, retire
from awa.engine.admin import control
from awa.engine.seal import BATCH_JOBS_MAX, SEAL_JOBS_MAX
from awa.engine.settle import settle
from tests.engine.helpers import (
    Connection,
    add,
    add_sealed,
    add_unsealed,
    buffers,
    explain,
    ids_of,
    outcomes,
    scans,
    sign_in,
    take,
)
from tests.fixtures.postgres import both_servers

Connect = Callable[..., psycopg.Connection[Any]]

TURNS = 2_000
"""Turns from idle to busy, whose rows a pinned horizon keeps: twelve pages and more of them."""
NEW_JOB = {
    "kind": "work",
    "args": "{}",
    "queue": "default",
    "priority": 2,
    "run_at": None,
    "max_attempts": 25,
    "tags": None,
    "metadata": None,
    "unique_key": None,
    "unique_states": None,
    "ordering_key": None,
    "opts": None,
}


def settle_plan(db: Connection, worker: int) -> dict[str, Any]:
    """Settle one leased job; return the plan."""
    add_sealed(db)
    ids = ids_of(take(db, worker, 1))
    given = {"started": "{1}", "finished": "{1}", "cpu": "{1}", "peak": "{1}", "delays": "{-1}", "outcomes": "{3}"}
    given |= {"ids": f"{{{ids[0]}}}", "payload_ids": "{}", "payloads": "{}"}
    return explain(
        db, "settle/settle", {**given, "worker": worker, "since": "-infinity", "within": False}, generic=True
    )


@both_servers
def test_a_settle_writes_one_index_of_the_tally(db: Connection) -> None:
    """Each index more is an entry more at every settle."""
    assert db.execute(
        """select indexrelid::regclass::text from pg_index where indrelid = 'awa.outcome_count'::regclass
           and pg_get_expr(indpred, indrelid) is distinct from '(deaths > 0)'"""
    ).fetchall() == [("awa.outcome_count_minute",)]
    worker = sign_in(db)
    settle_plan(db, worker)  # makes the pages
    # Two rows with an index entry each (attempt, outcome_count), the batch's deletion, and no more.
    assert settle_plan(db, worker)["WAL Records"] <= 5


@both_servers
def test_a_ledger_without_a_restore_says_nothing_of_one(db: Connection) -> None:
    add_sealed(db, 3)
    add_unsealed(db, 3)
    with db.transaction():
        db.execute(statement("seal/lock"))
        wanted = {"floor": 0, "jobs_max": SEAL_JOBS_MAX, "batch_max": BATCH_JOBS_MAX, "force": False}
        explain(db, "seal/seal", wanted, generic=True)
    assert db.execute(
        "select jobs, foreign_id from awa.seal_ledger where generation > 1 order by generation desc limit 1"
    ).fetchall() == [(3, None)]


@both_servers
@pytest.mark.parametrize("how", ["insert/insert", "nodes/wake"])
def test_an_insert_reads_no_more_when_a_pinned_horizon_keeps_who_was_idle(
    db: Connection, connect: Connect, how: str
) -> None:
    pin = connect()
    pin.autocommit = False
    pin.execute("set transaction isolation level repeatable read")
    pin.execute("select count(*) from awa.job_log")
    node = nodes.register_node(db, "a")
    add(db)
    wanted = NEW_JOB if how == "insert/insert" else {}

    def pages() -> int:
        """Pages that an insert reads which need not make one."""
        return min(buffers(explain(db, how, wanted, generic=True)) for _ in range(6))

    before = pages()
    db.execute(
        f"""do $$ begin
          for i in 1..{TURNS} loop
            insert into awa.idle_node (node_id) values ({node});
            delete from awa.idle_node where node_id = {node};
          end loop;
        end $$""".encode()
    )
    assert pages() <= before + 1
    nodes.idle(db, node)
    assert pages() <= before + 4  # PostgreSQL's own notification is among them


def fold_plan(db: Connection) -> dict[str, Any]:
    return explain(db, "retire/fold_outcome_counts", {}, generic=True)


@both_servers
def test_folding_reads_no_days_of_folded_tallies(db: Connection) -> None:
    db.execute(
        """insert into awa.outcome_count (minute, lane, outcome, jobs, folded)
           select date_trunc('minute', now()) - m * interval '1 minute', l, 3, 1, true
           from generate_series(2, 8000) m, generate_series(1, 3) l order by m desc"""
    )
    db.execute("vacuum analyze awa.outcome_count")
    db.execute(
        """insert into awa.outcome_count (minute, lane, outcome, jobs)
           select date_trunc('minute', now()) - interval '1 minute', 1, 3, 1 from generate_series(1, 300)"""
    )
    plan = fold_plan(db)
    assert {index for _, index in scans(plan, "outcome_count")} == {"outcome_count_minute"}
    assert db.execute("select count(*), sum(jobs) from awa.outcome_count where minute > now() - interval '2.5 minutes' "
                      "and lane = 1").fetchone() in {(1, 300), (2, 301)}  # fmt: skip
    assert buffers(plan) < 300 * 3 + 100
    assert buffers(fold_plan(db)) < 100


def test_what_is_too_late_to_be_folded_is_counted_and_forgotten_in_time(db: Connection) -> None:
    worker = sign_in(db)
    add_sealed(db, 2)
    settle(db, worker, outcomes(ids_of(take(db, worker, 2))))
    db.execute("update awa.outcome_count set minute = minute - interval '2 minutes'")
    retire.prune(db, retire.Retention(), recheck_s=0.0)
    late = (
        "insert into awa.outcome_count (minute, lane, outcome, jobs) "
        "select minute - {}, lane, 3, 5 from awa.outcome_count where folded"
    )
    db.execute(late.format("interval '5 minutes'").encode())
    retire.prune(db, retire.Retention(), recheck_s=0.0)
    assert db.execute("select jobs from awa.outcome_count where folded order by minute").fetchall() == [(5,), (2,)]
    db.execute((late.format("interval '20 minutes'") + " and jobs = 2").encode())
    retire.prune(db, retire.Retention(), recheck_s=0.0)
    assert db.execute("select jobs, folded from awa.outcome_count order by minute").fetchall() == [
        (5, False),
        (5, True),
        (2, True),
    ]
    assert control.queue_stats(db)[0].completed_last_hour == 12
    db.execute("update awa.outcome_count set minute = minute - interval '9 days'")
    retire.prune(db, retire.Retention(), recheck_s=0.0)
    assert db.execute("select from awa.outcome_count").fetchall() == []
