"""Which lanes a claim looks at where there are many."""

from __future__ import annotations

from time import monotonic

import pytest

from awa.worker.lanes import BATCHES, GOOD_FOR_S, WINDOW, LaneLookahead


@pytest.fixture
def ahead() -> LaneLookahead:
    """The next batches are in lanes 0, 1, 2, … 99 and in these again."""
    made = LaneLookahead()
    made.learn([n % 100 for n in range(BATCHES)])
    return made


def test_of_what_is_not_known_all_is_looked_at() -> None:
    assert LaneLookahead().window() == []


def test_the_next_lanes_are_looked_at_each_once(ahead: LaneLookahead) -> None:
    assert ahead.window() == list(range(WINDOW))
    ahead.learn([5] * (WINDOW - 1) + [6, 7, 8])
    assert ahead.window() == [5, 6]


def test_what_was_claimed_is_passed(ahead: LaneLookahead) -> None:
    ahead.move_on([0, 1, 2])
    assert ahead.window()[0] == 3


def test_what_others_claimed_in_between_is_passed_as_well(ahead: LaneLookahead) -> None:
    ahead.move_on([0, 7, 30])
    assert ahead.window()[0] == 31


def test_a_lane_that_comes_again_is_passed_as_often_as_it_was_claimed(ahead: LaneLookahead) -> None:
    ahead.learn([1, 2] * 100)
    ahead.move_on([1, 2, 1])
    assert ahead.window() == [2, 1]
    ahead.move_on([2] * 5)
    assert len(ahead._lanes) == 200 - 3 - 5


def test_all_is_looked_at_when_it_runs_short(ahead: LaneLookahead) -> None:
    claims = 0
    while window := ahead.window():
        ahead.move_on(window[:50])
        claims += 1
    assert claims == (BATCHES - WINDOW) // 50 + 1


@pytest.mark.parametrize("claimed", [[], [1000]])
def test_so_it_is_when_something_else_came_than_was_expected(ahead: LaneLookahead, claimed: list[int]) -> None:
    ahead.move_on(claimed)
    assert ahead.window() == []


def test_and_after_a_while(ahead: LaneLookahead, monkeypatch: pytest.MonkeyPatch) -> None:
    later = monotonic() + GOOD_FOR_S
    monkeypatch.setattr("awa.worker.lanes.monotonic", lambda: later)
    assert ahead.window() == []
