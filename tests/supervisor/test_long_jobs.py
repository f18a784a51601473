"""A job that takes much longer than its like: those claimed with it do not wait for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from awa.database.open import connect
from awa.engine.settle import release_if, settle
from tests.engine.helpers import add_sealed, all_in, ids_of, outcomes, sign_in, take
from tests.fixtures.supervisor import Shop, Start
from tests.fixtures.waiting import Session
from tests.supervisor.test_dying_workers import lease_with_a_stop, owner

pytestmark = [pytest.mark.processes, pytest.mark.postgres]


def test_jobs_behind_a_long_one_are_run_by_others(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=2).ready()
    before, running, behind = lease_with_a_stop(shop, supervisor, "gate")
    held = owner(shop, running)
    shop.until_state("completed", *before, *behind)
    assert shop.states(running) == ["running"]
    assert owner(shop, running) == held
    shop.open("gate")
    shop.until_state("completed", running)
    more = shop.insert_many([("step", {})] * 50)
    shop.until_state("completed", *more)
    assert all(shop.effects(job) == ["ran"] for job in before + behind + more)
    assert shop.effects(running) == ["waiting", "ran"]
    assert {shop.job(job)["attempt"] for job in [*before, running, *behind]} == {1}
    assert not supervisor.events("settle.refused")
    assert not supervisor.events("worker.exited")
    assert shop.rows("select id from awa.batch") == []


def test_the_worker_itself_takes_them_back_when_nobody_else_did(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=1).ready()
    before, running, behind = lease_with_a_stop(shop, supervisor, "gate")
    shop.until_state("available", *behind)
    shop.open("gate")
    shop.until_state("completed", *before, running, *behind)
    assert all(shop.effects(job) == ["ran"] for job in before + behind)
    assert not supervisor.events("settle.refused")


def test_a_lease_claimed_meanwhile_is_not_touched(database: str, session: Callable[[str], Session]) -> None:
    """The worker ends its long job just when the proxy would hand back the rest: one of them waits for the other."""
    with connect(database, role="test") as db:
        jobs, worker, mate = add_sealed(db, 6), sign_in(db), session("worker")
        take(db, worker, 3)

        def still() -> bool:
            mate.start(settle, worker, outcomes(jobs[:1]))
            mate.until_blocked()
            return True

        assert release_if(db, worker, jobs[:1], still, patience_ms=5_000) == 2
        assert mate.result() == {jobs[0]}
        took = ids_of(take(db, worker))
        assert sorted(took) == jobs[1:]
        assert release_if(db, worker, jobs[:1], lambda: False, patience_ms=5_000) is None
        assert all_in(db, "leased", took)
