"""The schedule can be repeated, and leaves nothing out."""

from itertools import pairwise

from tests.chaos.schedule import plan

WEIGHTS = {"often": 10.0, "seldom": 0.01, "never": 0.0}


def test_a_seed_stands_for_a_schedule() -> None:
    assert plan(7, 100, 1, WEIGHTS) == plan(7, 100, 1, WEIGHTS)
    assert plan(7, 100, 1, WEIGHTS) != plan(8, 100, 1, WEIGHTS)


def test_every_kind_comes_once_before_any_comes_twice() -> None:
    planned = plan(1, 1000, 1, WEIGHTS)
    assert {each.kind for each in planned[:3]} == set(WEIGHTS)
    assert 800 < len(planned) < 1250
    assert all(before.at_s < after.at_s for before, after in pairwise(planned))
