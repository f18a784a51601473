"""Contenders on one server: Awa and the queue written by hand, for a few jobs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg
import pytest

from benchmarks.harness.contender import Contender, Failed
from benchmarks.harness.field import Field, field
from benchmarks.harness.plan import Plan
from benchmarks.harness.rivals.specs import ALL, ENGINE, OURS, Spec

pytestmark = [pytest.mark.postgres, pytest.mark.processes, pytest.mark.slow]

JOBS = 40
DIY = ALL["skip locked"]


@pytest.fixture
def plan() -> Plan:
    return Plan(rounds=2, jobs=JOBS, seconds=0.2)


@pytest.fixture
def it(plan: Plan) -> Iterator[Field]:
    with field(plan, [OURS, ENGINE, DIY]) as made:
        yield made


def test_everybody_has_a_turn_in_each_round_and_every_job_runs(it: Field) -> None:
    turns: list[str] = []

    def measure(contender: Contender) -> float:
        turns.append(contender.name)
        return it.drain(contender, JOBS).rate

    rates = it.turns(measure)
    assert it.failed == {}
    assert turns == ["awa", "engine", "skip locked"] * 2
    assert all(rate > 0 for values in rates.values() for rate in values)
    assert all(contender.outstanding() == 0 for contender in it.contenders)


def test_a_job_that_runs_twice_makes_its_contender_fail(it: Field) -> None:
    contender = it.contenders[-1]
    it.marks.clear(JOBS)
    contender.ask("bulk", first=0, count=JOBS)
    contender.ask("bulk", first=3, count=1)
    with pytest.raises(Failed, match=r"40 jobs have run 41 times"), it.workers(contender):
        it.await_all(contender, JOBS)


def test_who_fails_is_out_and_its_earlier_figures_are_void(it: Field) -> None:
    calls: list[str] = []

    def measure(contender: Contender) -> float:
        calls.append(contender.name)
        if contender.name == DIY.name and calls.count(DIY.name) == 2:
            contender.ask("no such verb")
        return 1.0

    measured = it.turns(measure)
    assert sorted(measured) == ["awa", "engine"]
    assert "KeyError" in it.failed[DIY.name]
    assert it.turns(measure).keys() == {"awa", "engine"}


def test_jobs_that_are_lost_make_their_contender_fail(it: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.harness.field.STALL_S", 3.0)
    contender = it.contenders[-1]
    it.marks.clear(JOBS)
    contender.ask("bulk", first=0, count=JOBS - 1)
    with pytest.raises(Failed, match="39 of 40 jobs have run"), it.workers(contender):
        it.await_all(contender, JOBS)


def test_singles_come_over_many_connections(it: Field) -> None:
    for contender in (it.contenders[0], it.contenders[-1]):
        before = contender.stored()
        assert contender.ask("singles", connections=6, seconds=0.2, warm_up_s=0.1) > 0
        assert contender.stored() > before


def test_who_cannot_take_part_is_named_with_the_reason(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.harness.field.is_present", lambda: False)
    broken = Spec("broken", "there_is_no_such_module")
    with field(plan, [DIY, broken, replace(DIY, name="with redis", needs_redis=True)]) as made:
        assert [contender.name for contender in made.contenders] == [DIY.name]
        assert "No module named" in made.failed["broken"]
        assert made.failed["with redis"] == "there is no redis-server on this machine"


def test_all_are_on_one_server_with_the_same_durability(it: Field) -> None:
    facts = set()
    for contender in it.contenders:
        with psycopg.connect(contender.dsn) as connection:
            row = connection.execute(
                "select system_identifier, current_setting('fsync'), current_setting('synchronous_commit') "
                "from pg_control_system()"
            ).fetchone()
            facts.add(row)
    ((_, fsync, synchronous_commit),) = facts
    assert (fsync, synchronous_commit) == ("on", "on")
