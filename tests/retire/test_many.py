"""Many segments one after the other: they go, and nothing gets slower by those that are there or were."""

import pytest

from awa.engine import retire
from awa.engine.seal import SEAL_JOBS_MAX, seal
from awa.engine.settle import settle
from tests.engine.helpers import Connection, add, buffers, explain, ids_of, nodes, outcomes, sign_in, take
from tests.retire.conftest import SEGMENT_IDS
from tests.retire.steps import drop, value

SEGMENTS = 50


def fill_one_segment(db: Connection, worker: int, floor: int) -> int:
    """Insert, seal, run and settle a segment's worth of jobs, with the leader's duties; return the floor."""
    add(db, SEGMENT_IDS)
    floor = seal(db, floor).floor
    ids = ids_of(take(db, worker))
    assert settle(db, worker, outcomes(ids)) == set(ids)
    retire.extend(db, SEGMENT_IDS, 2)
    retire.watch(db, floor)
    return floor


def pages_of_a_seal(db: Connection, floor: int) -> int:
    """How many pages an empty seal looks at."""
    wanted = {"floor": floor, "jobs_max": SEAL_JOBS_MAX, "batch_max": 128, "force": False}
    db.execute("begin")
    db.execute("select set_config('awa.sealer', 'true', true), set_config('enable_seqscan', 'off', true)")
    plan = explain(db, "seal/seal", wanted, generic=False)
    db.execute("rollback")
    read = [node["Relation Name"] for node in nodes(plan) if str(node.get("Relation Name", "")).startswith("job_log_")]
    assert len(set(read)) <= 6, f"the floor leaves out the segments below: {read}"
    return buffers(plan)


def assert_level(pages: list[int]) -> None:
    """As few at the end as at the beginning. Each transaction that happens to be open anywhere on the server adds some,
    so of the last ones the least counts."""
    assert min(pages[-10:]) <= max(pages[5:15]) * 2, f"pages read by an empty seal: {pages}"


@pytest.mark.slow
def test_fifty_segments_go_in_a_row_and_sealing_stays_as_quick(db: Connection) -> None:
    worker, floor, dropped = sign_in(db), 0, 0
    pages = []
    for _ in range(SEGMENTS):
        floor = fill_one_segment(db, worker, floor)
        dropped += drop(db)
        pages.append(pages_of_a_seal(db, floor))
    assert dropped >= SEGMENTS - 5
    assert value(db, "select count(*) from awa.segment") <= 8
    assert value(db, "select count(*) from awa.job_log") <= 6 * SEGMENT_IDS
    assert_level(pages)


@pytest.mark.slow
def test_fifty_segments_kept_do_not_slow_sealing_down(db: Connection) -> None:
    """Retention keeps them; the floor spares the sealer from looking into them."""
    worker, floor = sign_in(db), 0
    pages = []
    for _ in range(SEGMENTS):
        floor = fill_one_segment(db, worker, floor)
        pages.append(pages_of_a_seal(db, floor))
    assert value(db, "select count(*) from awa.segment") >= SEGMENTS
    assert_level(pages)
