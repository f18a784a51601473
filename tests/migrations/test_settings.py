"""What a database, a role or a server has set for itself does not reach into Awa."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from awa.database.open import connect as open_connection
from awa.database.schema import chain
from awa.engine import claim, leaving, rescue, retire
from awa.engine.admin import control
from awa.engine.promote import promote
from awa.engine.seal import seal, seal_all
from awa.engine.settle import settle
from awa.job.model import JobState
from tests.engine.helpers import COST_US, add, all_in, ids_of, outcome, outcomes, sign_in, take, wants
from tests.fixtures.postgres import both_servers
from tests.fixtures.waiting import Session, until_blocked

Connect = Callable[..., psycopg.Connection[Any]]
Sessions = Callable[..., Session]


def set_for_database(connection: psycopg.Connection[Any], name: str, value: str) -> None:
    """Change a setting for all later connections to this database."""
    connection.execute(f"alter database {connection.info.dbname} set {name} = {value}".encode())


def whole_life(dsn: str) -> None:
    """Take jobs through everything that can happen to one."""
    with open_connection(dsn, role="test") as db:
        ids = add(db, 12) + add(db, 1)
        assert seal_all(db) == 13
        worker = sign_in(db)
        assert ids_of(take(db, worker)) == ids
        assert settle(db, worker, outcomes(ids[:8])) == set(ids[:8])
        assert settle(db, worker, [outcome(ids[8], JobState.Retryable, delay_us=0)]) == {ids[8]}
        assert promote(db).jobs == 1
        assert control.cancel(db, ids[9]) is True
        control.retry(db, ids[9])
        rescued = rescue.rescue(db, worker, rescue.WorkerExit("killed"))
        assert rescued.returned == 2
        for _ in range(3):
            retire.extend(db, 1000, 1)
            retire.watch(db)
            retire.retire(db, leaving.Retention(0, 0), recheck_s=0.0)
            retire.prune(db, leaving.Retention(0, 0), recheck_s=0.0)
        other = sign_in(db)
        rest = ids_of(take(db, other))
        assert sorted(rest) == ids[8:]
        assert settle(db, other, outcomes(rest)) == set(rest)
        assert all_in(db, "ended", ids)
        assert len(control.listing(db, state=JobState.Completed)) == 13


@both_servers
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("default_transaction_isolation", "'serializable'"),
        ("default_transaction_isolation", "'repeatable read'"),
        ("search_path", "elsewhere, awa"),
        ("search_path", "''"),
        ("timezone", "'Pacific/Auckland'"),
        ("datestyle", "'ISO, DMY'"),
        ("intervalstyle", "'sql_standard'"),
        ("enable_indexscan", "off"),
        ("plan_cache_mode", "force_generic_plan"),
        ("row_security", "off"),
        ("standard_conforming_strings", "on"),
        ("bytea_output", "'escape'"),
        ("extra_float_digits", "-3"),
    ],
)
def test_a_job_lives_whatever_the_database_has_set(
    connect: Connect, empty_database: str, name: str, value: str
) -> None:
    connection = connect(empty_database)
    connection.execute("create schema elsewhere")
    # What somebody else calls like ours, or like the server's own, first on the path.
    connection.execute("create table elsewhere.batch (id text)")
    connection.execute("create function elsewhere.now() returns text language sql as $$ select 'never' $$")
    set_for_database(connection, name, value)
    with psycopg.connect(empty_database, autocommit=True) as owner:
        chain.migrate(owner)
    whole_life(empty_database)


@both_servers
@pytest.mark.parametrize("level", ["serializable", "repeatable read"])
def test_claims_that_meet_do_not_fail_where_the_default_is_stricter(
    database: str, connect: Connect, session: Sessions, level: str
) -> None:
    """A claim waits for another one and takes what is left, instead of failing to serialise."""
    set_for_database(connect(), "default_transaction_isolation", f"'{level}'")
    with open_connection(database, role="one") as one, open_connection(database, role="two") as two:
        ids = add(one, 10)
        seal_all(one)
        first, second = sign_in(one), sign_in(one)
        first_wants = wants(one)
        holder = session("holder")
        holder.run("begin isolation level read committed")
        holder.run(lambda c: claim.read_claim(claim.send_claim(c, first, first_wants, budget_us=4 * COST_US)))
        follower = session("follower")
        two_pid = two.info.backend_pid
        follower.start(lambda _: claim.claim(two, second, first_wants, budget_us=10 * COST_US))
        until_blocked(one, two_pid)
        holder.run("commit")
        assert ids_of(follower.result()) == ids[4:]


@both_servers
def test_a_seal_sees_what_was_committed_while_it_waited(database: str, connect: Connect, session: Sessions) -> None:
    set_for_database(connect(), "default_transaction_isolation", "'serializable'")
    sealer = connect()
    assert sealer.execute("show transaction_isolation").fetchone() == ("serializable",)
    ids = add(sealer, 3)
    assert seal(sealer).jobs == 3
    later = add(connect(), 2)
    assert seal(sealer).jobs == 2
    assert all_in(sealer, "ready", ids + later)
