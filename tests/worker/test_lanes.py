"""How often a worker reads its lanes from the very beginning."""

from __future__ import annotations

import pytest

from awa.engine.claim import FROM_THE_START, Claimed, Lane, Lease
from awa.worker import lanes as module
from awa.worker.lanes import LOOK_BACK_LONG_S, LOOK_BACK_RATIO, LOOK_BACK_S, LOOK_BACK_SHORT_S, Lanes
from awa.worker.lease_size import LeaseSizer

LATER = "2026-01-01"


class Clock:
    """What time it is."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "monotonic", made)
    return made


@pytest.fixture
def lanes(monkeypatch: pytest.MonkeyPatch) -> Lanes:
    monkeypatch.setattr(module.claim, "lanes", lambda *_: [Lane(1, "default", "work", 2, 0)])
    made = Lanes(["work"], None)
    made.refresh(None)  # type: ignore[arg-type]
    return made


def claim(lanes: Lanes, took_s: float) -> str:
    """Claim; return where in the lane that began."""
    (want,) = lanes.requests(LeaseSizer())
    lanes.note_took(took_s)
    lanes.note(Claimed([Lease(1, LATER, 0, [1], None, 0)], [1], True, [], 1, LATER, 0))
    return want.start


def test_once_a_second(lanes: Lanes, clock: Clock) -> None:
    assert claim(lanes, 0.001) == FROM_THE_START
    assert claim(lanes, 0.001) == LATER
    clock.now += LOOK_BACK_S - 0.01
    assert claim(lanes, 0.001) == LATER
    clock.now += 0.02
    assert claim(lanes, 0.001) == FROM_THE_START


def test_less_often_where_it_takes_long_but_often_enough(lanes: Lanes, clock: Clock) -> None:
    for took_s, wait_s in ((0.1, LOOK_BACK_RATIO * 0.1), (60.0, LOOK_BACK_LONG_S)):
        assert claim(lanes, took_s) == FROM_THE_START
        clock.now += wait_s - 0.01
        assert claim(lanes, 60.0) == LATER  # how long the others take is of no account
        clock.now += 0.02


def test_at_once_when_jobs_came_back(lanes: Lanes, clock: Clock) -> None:
    claim(lanes, 60.0)
    lanes.look_back()
    assert claim(lanes, 0.001) == FROM_THE_START


def test_after_nothing_was_found_a_lane_begins_at_what_was_sealed(lanes: Lanes, clock: Clock) -> None:
    claim(lanes, 0.001)
    lanes.begin_at({1: "2025-12-31", 2: "2025-12-31"})
    assert claim(lanes, 0.001) == "2025-12-31"
    lanes.look_back()
    lanes.requests(LeaseSizer())
    lanes.begin_at({1: "2025-12-31"})  # it begins earlier in any case
    assert claim(lanes, 0.001) == FROM_THE_START


def test_who_finds_nothing_looks_back_at_once_unless_that_is_dear(lanes: Lanes, clock: Clock) -> None:
    claim(lanes, LOOK_BACK_SHORT_S)
    assert lanes.may_look_back
    lanes.look_back()
    claim(lanes, 0.02)
    assert not lanes.may_look_back
    clock.now += LOOK_BACK_RATIO * 0.02 + 0.001
    assert lanes.may_look_back


def test_who_comes_but_once_looks_back_whenever_nothing_is_found(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(module.claim, "lanes", lambda *_: [Lane(1, "default", "work", 2, 0)])
    lanes = Lanes(["work"], None, exhaustive=True)
    lanes.refresh(None)  # type: ignore[arg-type]
    claim(lanes, 60.0)
    assert lanes.may_look_back
