"""A short storm, a few dozen faults: what `make chaos` does for half an hour."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from awa.embedded.binaries import find_system, find_wheel
from tests.chaos.config import Config
from tests.chaos.faults import FAULTS
from tests.chaos.report import report
from tests.chaos.storm import Storm
from tests.fixtures.run import VARIABLE

pytestmark = [pytest.mark.postgres, pytest.mark.processes, pytest.mark.slow]

CHEAP = tuple(name for name, fault in FAULTS.items() if not fault.dear)


@pytest.fixture
def storm(tmp_path: Path) -> Iterator[Callable[[Config], Storm]]:
    """Makes storms; the logs of their nodes are in `tmp_path`."""
    binaries = find_system() if os.environ.get("AWA_TEST_PG") == "system" else find_wheel()
    if binaries is None:
        pytest.skip("no PostgreSQL server is installed here")
    place = Path(os.environ[VARIABLE]) / f"chaos-{secrets.token_hex(4)}"
    made: list[Storm] = []

    def make(config: Config) -> Storm:
        made.append(Storm(config, place, tmp_path, lambda text: None, binaries.directory))
        return made[-1]

    yield make
    for each in made:
        each.close()
    shutil.rmtree(place)


def test_nothing_is_lost_in_a_short_storm(storm: Callable[[Config], Storm]) -> None:
    config = Config(
        seed=int(os.environ.get("CHAOS_SEED", "3")),
        seconds=14,
        every_s=0.35,
        jobs_per_s=40,
        nodes=2,
        workers=2,
        heartbeat_s=0.6,
        leader_s=0.4,
        drain_timeout_s=1,
        settle_s=90,
        kinds=CHEAP,
    )
    outcome = storm(config).run()
    assert outcome.passed, "\n" + report(outcome)
    assert len(outcome.injected) >= len(CHEAP), report(outcome)
    assert outcome.figures["completed"] > 100, report(outcome)
