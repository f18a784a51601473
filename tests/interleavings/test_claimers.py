"""Claimers that meet at one batch: nobody gets what another has, and nobody calls a queue empty that is only busy."""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest

from awa.engine import claim
from awa.engine.admin import control
from awa.engine.promote import promote
from awa.engine.rescue import WorkerExit, rescue
from awa.engine.seal import seal
from awa.engine.settle import release, settle
from awa.worker.lanes import Lanes
from awa.worker.lease_size import LeaseSizer
from tests.engine.helpers import (
    KIND,
    Connection,
    add,
    add_sealed,
    add_unsealed,
    all_in,
    batches,
    ids_of,
    outcomes,
    sign_in,
    take,
    wants,
)
from tests.fixtures.postgres import both_servers
from tests.fixtures.waiting import Session

Open = Callable[..., Session]

GATE = """
create function gate() returns boolean language plpgsql volatile as $$
begin
  if current_setting('test.gate', true) = 'closed' then perform pg_advisory_xact_lock_shared(77); end if;
  return true;
end $$;
alter table awa.worker enable row level security, force row level security;
create policy gate on awa.worker using (gate());
"""


class Gate:
    """Holds a session's claims up after their snapshot is taken and before they lock a batch.

    A claim looks first whether its worker is registered; a row policy on that table makes the look wait.
    """

    def __init__(self, keeper: Session) -> None:
        self._keeper = keeper
        keeper.run(GATE)

    def shut(self, session: Session) -> None:
        self._keeper.run("select pg_advisory_lock(77)")
        session.run("set test.gate = 'closed'")

    def open(self) -> None:
        self._keeper.run("select pg_advisory_unlock(77)")


@pytest.fixture
def gate(session: Open) -> Gate:
    return Gate(session("keeper of the gate"))


class Claimer:
    """A session with a worker of its own."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.worker = session.run(sign_in, session.name)

    def take(self, jobs: int = 1000, **options: int) -> list[int]:
        return ids_of(self.session.run(take, self.worker, jobs, **options))

    def start(self, jobs: int = 1000, **options: int) -> None:
        self.session.start(take, self.worker, jobs, **options)

    def result(self) -> list[int]:
        return ids_of(self.session.result())


@pytest.fixture
def pair(session: Open) -> tuple[Claimer, Claimer]:
    return Claimer(session("first claimer")), Claimer(session("second claimer"))


Pair = tuple[Claimer, Claimer]


# --------------------------------------------------- the other one is locked


@both_servers
def test_a_claimer_waits_for_the_only_batch_and_gets_the_rest_of_it(db: Connection, pair: Pair) -> None:
    first, second = pair
    ids = add_sealed(db, 10)
    first.session.run("begin")
    assert first.take(3) == ids[:3]
    second.start()
    second.session.until_blocked()
    first.session.run("commit")
    assert second.result() == ids[3:]


def test_a_claimer_gets_everything_when_the_other_rolls_back(db: Connection, pair: Pair) -> None:
    first, second = pair
    ids = add_sealed(db, 10)
    first.session.run("begin")
    first.take(3)
    second.start()
    second.session.until_blocked()
    first.session.run("rollback")
    assert second.result() == ids


def test_a_claimer_gets_everything_when_the_other_dies(db: Connection, pair: Pair) -> None:
    first, second = pair
    ids = add_sealed(db, 10)
    first.session.run("begin")
    first.take(3)
    second.start()
    second.session.until_blocked()
    first.session.kill()
    assert second.result() == ids


def test_a_claimer_finds_nothing_when_the_other_took_it_all(db: Connection, pair: Pair) -> None:
    first, second = pair
    ids = add_sealed(db, 10)
    first.session.run("begin")
    assert first.take() == ids
    second.start()
    second.session.until_blocked()
    first.session.run("commit")
    assert second.result() == []


@both_servers
def test_a_claimer_passes_locked_batches_by_while_there_are_others(db: Connection, pair: Pair) -> None:
    first, second = pair
    ids = add(db, 30)
    seal(db, batch_max=10)
    first.session.run("begin")
    assert first.take(15, batches_max=2) == ids[:15], "a claim locks as many batches as it may take"
    second.session.run("set lock_timeout = '1ms'")
    assert second.take() == ids[20:]
    first.session.run("commit")
    assert second.take() == ids[15:20]


# ------------------------------------- the other one commits in between


@both_servers
def test_what_another_split_off_meanwhile_is_not_claimed_again(db: Connection, gate: Gate, pair: Pair) -> None:
    """The second claimer's snapshot shows ten jobs in the batch; when it locks the row, four are left."""
    first, second = pair
    ids = add_sealed(db, 10)
    db.execute("update awa.batch set attempts = '{0,1,2,3,4,5,6,7,8,9}'")
    gate.shut(second.session)
    second.start(2)
    second.session.until_blocked()
    assert first.take(6) == ids[:6]
    gate.open()
    (lease,) = second.session.result().leases
    assert (lease.ids, lease.attempts) == (ids[6:8], [6, 7])
    assert sorted(row[1:] for row in batches(db)) == [
        (ids[:6], [0, 1, 2, 3, 4, 5]), (ids[6:8], [6, 7]), (ids[8:], [8, 9])
    ]  # fmt: skip


@both_servers
def test_a_batch_that_another_took_whole_meanwhile_is_passed_by(db: Connection, gate: Gate, pair: Pair) -> None:
    first, second = pair
    ids = add(db, 20)
    seal(db, batch_max=10)
    gate.shut(second.session)
    second.start()
    second.session.until_blocked()
    assert first.take(10) == ids[:10]
    gate.open()
    assert second.result() == ids[10:]
    assert all_in(db, "leased", ids)


def test_a_batch_that_has_come_and_gone_meanwhile_is_passed_by(db: Connection, gate: Gate, pair: Pair) -> None:
    first, second = pair
    ids = add(db, 20)
    seal(db, batch_max=10)
    gate.shut(second.session)
    second.start()
    second.session.until_blocked()
    settle(first.session.connection, first.worker, outcomes(first.take(10)))
    gate.open()
    assert second.result() == ids[10:]
    assert all_in(db, "ended", ids[:10])


@both_servers
@pytest.mark.parametrize("way", ["release", "rescue"])
def test_a_batch_that_came_back_smaller_meanwhile_is_claimed_as_it_is_now(
    db: Connection, gate: Gate, pair: Pair, way: str
) -> None:
    """Claimed, settled in part and given back: the same row is ready again, with fewer jobs than the snapshot shows."""
    first, second = pair
    ids = add_sealed(db, 10)
    gate.shut(second.session)
    second.start()
    second.session.until_blocked()
    assert first.take() == ids
    settle(first.session.connection, first.worker, outcomes(ids[:7]))
    if way == "release":
        release(first.session.connection, first.worker)
    else:
        rescue(db, first.worker, WorkerExit("killed", 0))
    gate.open()
    assert second.result() == ids[7:]
    assert all_in(db, "ended", ids[:7])
    assert all_in(db, "leased", ids[7:])


def test_a_job_cancelled_meanwhile_is_not_claimed(db: Connection, gate: Gate, pair: Pair) -> None:
    second = pair[1]
    ids = add_sealed(db, 5)
    gate.shut(second.session)
    second.start()
    second.session.until_blocked()
    control.cancel(db, ids[2])
    gate.open()
    assert second.result() == [job for job in ids if job != ids[2]]


# -------------------------------------------------------- split and settle


@both_servers
@pytest.mark.parametrize("settle_first", [True, False])
def test_a_split_and_a_settle_of_its_front_do_not_meet(db: Connection, pair: Pair, settle_first: bool) -> None:
    first, second = pair
    ids = add_sealed(db, 10)
    assert first.take(4) == ids[:4]
    for claimer in pair:
        claimer.session.run("set lock_timeout = '1ms'")

    def settles() -> None:
        first.session.run("begin")
        first.session.run("select id from awa.batch where owner = %s for update", [first.worker])
        first.session.run("update awa.batch set ids = ids[3:] where owner = %s", [first.worker])

    def splits() -> None:
        second.session.run("begin")
        assert second.take(3) == ids[4:7]

    for step in (settles, splits) if settle_first else (splits, settles):
        step()
    second.session.run("commit")
    first.session.run("commit")
    assert first.session.run(settle, first.worker, outcomes(ids[:7])) == set(ids[2:4])
    assert second.session.run(settle, second.worker, outcomes(ids)) == set(ids[4:7])


def test_a_batch_being_released_is_not_claimed_before_that_is_committed(db: Connection, pair: Pair) -> None:
    first, second = pair
    ids = add_sealed(db, 4)
    first.take()
    first.session.run("begin")
    first.session.run("update awa.batch set owner = null where owner = %s", [first.worker])
    assert second.take() == []
    first.session.run("commit")
    assert second.take() == ids


def test_four_claimers_share_a_backlog_and_run_every_job_once(db: Connection, session: Open) -> None:
    ids = add(db, 3_000)
    while seal(db, batch_max=40).more:
        pass
    claimers = [Claimer(session(f"claimer {n}")) for n in range(4)]
    begun = threading.Barrier(4)

    def work(connection: Connection, worker: int, jobs: int) -> list[int]:
        ran: list[int] = []
        begun.wait(10)
        while claimed := ids_of(take(connection, worker, jobs, batches_max=3, depth=4)):
            assert settle(connection, worker, outcomes(claimed)) == set(claimed)
            ran += claimed
        return ran

    for n, claimer in enumerate(claimers):
        claimer.session.start(work, claimer.worker, 15 + 13 * n)
    ran = Counter(job for claimer in claimers for job in claimer.session.result(60))
    assert ran == Counter(ids)
    assert all_in(db, "ended", ids)


# --------------------------------------------------------------- promoters


@both_servers
def test_two_promoters_share_what_is_due(db: Connection, session: Open) -> None:
    first, second = session("first"), session("second")
    ids = add_sealed(db, 20, run_at=datetime.now(timezone.utc) + timedelta(days=1))
    db.execute("update awa.deferred set run_at = now()")
    first.run("begin")
    assert first.run(promote, jobs_max=12).jobs == 12
    second.run("set lock_timeout = '1ms'")
    assert second.run(promote).jobs == 8
    first.run("commit")
    assert all_in(db, "ready", ids)


def test_what_a_promoter_had_in_hand_when_it_died_is_promoted_by_the_next(db: Connection, session: Open) -> None:
    first = session("first")
    ids = add_sealed(db, 5, run_at=datetime.now(timezone.utc) + timedelta(days=1))
    db.execute("update awa.deferred set run_at = now()")
    first.run("begin")
    first.run(promote)
    first.kill()
    assert promote(db).jobs == 5
    assert all_in(db, "ready", ids)


def test_a_job_cancelled_while_it_is_promoted_is_found_in_its_batch(db: Connection, session: Open) -> None:
    promoter, operator = session("promoter"), session("operator")
    ids = add_sealed(db, 3, run_at=datetime.now(timezone.utc) + timedelta(days=1))
    db.execute("update awa.deferred set run_at = now()")
    promoter.run("begin")
    promoter.run(promote)
    operator.start(control.cancel, ids[1])
    operator.until_blocked()
    promoter.run("commit")
    assert operator.result() is False
    assert all_in(db, "ended", [ids[1]])
    assert all_in(db, "ready", [ids[0], ids[2]])


def test_a_job_that_is_being_cancelled_is_not_promoted(db: Connection, session: Open) -> None:
    operator = session("operator")
    ids = add_sealed(db, 3, run_at=datetime.now(timezone.utc) + timedelta(days=1))
    db.execute("update awa.deferred set run_at = now()")
    operator.run("begin")
    operator.run(control.cancel, ids[1])
    db.execute("set lock_timeout = '1ms'")
    assert promote(db).jobs == 2
    operator.run("commit")
    assert promote(db).jobs == 0
    assert all_in(db, "ended", [ids[1]])


# ------------------------------------------- locked by an open transaction


def cancels(operator: Session, jobs: list[int]) -> None:
    """Cancel jobs in a transaction that stays open."""
    operator.run("begin")
    for job in jobs:
        operator.run(control.cancel, job)


@both_servers
@pytest.mark.parametrize("locked", [17, 90])
def test_claims_look_past_whatever_an_open_transaction_has_locked(
    db: Connection, session: Open, pair: Pair, monkeypatch: pytest.MonkeyPatch, locked: int
) -> None:
    """All these batches have one order key. With 90 of them, looking deeper does not help."""
    monkeypatch.setattr(claim, "DEEPER", 4)
    first, operator = pair[0], session("operator")
    ids = add_unsealed(db, locked + 8)
    seal(db, batch_max=1)
    later = add_sealed(db, 3, kind="other")
    cancels(operator, ids[:locked])
    first.session.run("set statement_timeout = '30s'")
    taken = first.take(2, batches_max=2)
    assert taken in (ids[locked : locked + 1], ids[locked : locked + 2])
    while claimed := ids_of(first.session.run(take, first.worker, 1000, KIND, "other", batches_max=2)):
        taken += claimed
    assert taken == [*ids[locked:], *later]
    operator.run("rollback")
    assert first.take(batches_max=100) == ids[:locked]


@both_servers
def test_a_lane_that_is_locked_as_a_whole_does_not_hide_the_others(db: Connection, session: Open, pair: Pair) -> None:
    first, operator = pair[0], session("operator")
    ids = add_unsealed(db, 400)
    seal(db, batch_max=1)
    operator.run("begin")
    operator.run("select id from awa.batch for update")
    later = [*add_sealed(db, kind="other"), *add_sealed(db, kind="third")]
    claimed = first.session.run(take, first.worker, 1000, KIND, "other", "third", batches_max=4)
    assert ids_of(claimed) == later
    assert set(claimed.passed) == {want.lane for want in wants(db, KIND, "other", "third")}
    operator.run("rollback")
    assert first.take(1) == ids[:1]


def test_where_a_claim_passed_locked_batches_the_next_one_starts_behind_them(
    db: Connection, session: Open, pair: Pair
) -> None:
    """So the locked ones are read again when a lane is looked at from its beginning, and not by each claim."""
    first, operator = pair[0], session("operator")
    add_unsealed(db, 400)
    seal(db, batch_max=1)
    free = add_sealed(db, 1, kind="other")
    operator.run("begin")
    operator.run("select id from awa.batch where lane = %s for update", [wants(db)[0].lane])
    lanes = Lanes([KIND, "other"], None)
    lanes.refresh(db)
    claimed = claim.claim(db, first.worker, lanes.requests(LeaseSizer()), budget_us=1.0)
    assert ids_of(claimed) == free
    lanes.note(claimed)
    assert claim.FROM_THE_START not in [want.start for want in lanes.requests(LeaseSizer())]


@both_servers
def test_many_claimers_of_single_jobs_do_not_stand_in_line(db: Connection, session: Open) -> None:
    """Each holds what it has claimed; the next one finds others, however many are held in front of them."""
    ids = add_unsealed(db, 60)
    seal(db, batch_max=1)
    claimers = [Claimer(session(f"claimer {n}")) for n in range(6)]
    for claimer in claimers:
        claimer.session.run("begin")
    got = [claimer.take(10, batches_max=10, depth=10) for claimer in claimers]
    assert got == [ids[n : n + 10] for n in range(0, 60, 10)]


def test_a_claim_that_finds_only_locked_batches_says_what_it_saw(db: Connection, session: Open, pair: Pair) -> None:
    first, operator = pair[0], session("operator")
    ids = add_unsealed(db, 30)
    seal(db, batch_max=1)
    operator.run("begin")
    operator.run("select id from awa.batch for update")
    claimed = first.session.run(take, first.worker, batches_max=4)
    assert not claimed.leases
    assert len(claimed.seen) == len(ids)
    operator.run("rollback")
    assert first.take() == ids
