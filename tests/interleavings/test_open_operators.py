"""Operators who leave their transaction open: whatever they do in it, sealing waits for none of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from awa.engine.admin import control, dlq, queues
from awa.engine.seal import seal, seal_all
from awa.engine.settle import settle
from awa.job.model import JobState
from tests.engine.helpers import Connection, add, add_sealed, ids_of, outcomes, sign_in, take
from tests.fixtures.postgres import both_servers
from tests.fixtures.waiting import Session

Open = Callable[..., Session]
Act = Callable[[Connection, list[int]], Any]


def configures(theirs: Connection, _: list[int]) -> None:
    queues.configure(theirs, "fresh", {"serial": True})


def pauses(theirs: Connection, _: list[int]) -> None:
    control.pause(theirs, "fresh")
    control.resume(theirs, "fresh")


def retries_elsewhere(theirs: Connection, failed: list[int]) -> None:
    assert dlq.retry(theirs, failed[0], queue="fresh", priority=2)


@both_servers
@pytest.mark.parametrize("act", [configures, pauses, retries_elsewhere])
def test_sealing_waits_for_nobody_who_makes_a_queue(db: Connection, session: Open, act: Act) -> None:
    queues.configure(db, "default", {"dlq": True})
    worker, failed = sign_in(db), add_sealed(db, 2)
    take(db, worker)
    settle(db, worker, outcomes(failed, JobState.Failed))
    operator = session("operator")
    operator.run("begin")
    operator.run(act, failed)
    ids = [*add(db, queue="fresh"), *add(db)]
    db.execute("set lock_timeout = '1ms'")
    assert seal(db).jobs == 2
    assert set(ids_of(take(db, worker))) == set(ids)
    operator.run("commit")
    seal_all(db)
    assert ids_of(take(db, worker)) == ([failed[0]] if act is retries_elsewhere else [])
