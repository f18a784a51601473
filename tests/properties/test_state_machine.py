"""Random steps by several producers, sealers, workers and a leader, on a real server, checked after each step.

`AWA_TEST_PROFILE=long` runs many more and longer ones. A failure prints the steps that lead to it, shrunk, and a
`@reproduce_failure` line.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.stateful import run_state_machine_as_test

from awa import embedded
from tests.properties.machine import Machine
from tests.properties.producing import FILED_JOBS

COMMON = settings(
    deadline=None,
    print_blob=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.generate, Phase.shrink),
    verbosity=Verbosity.normal,
)
PROFILES = {
    "default": settings(COMMON, max_examples=25, stateful_step_count=60),
    "long": settings(COMMON, max_examples=2000, stateful_step_count=120),
}


@pytest.mark.slow
def test_every_job_is_in_one_place_and_ends_once(server: embedded.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("awa.engine.insert.direct_batches.JOBS_MIN", FILED_JOBS)
    profile = PROFILES[os.environ.get("AWA_TEST_PROFILE", "default")]
    machine = type("Machine", (Machine,), {"server": server})
    run_state_machine_as_test(machine, settings=profile)
