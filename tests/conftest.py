"""Loads the fixtures, one plugin a subject.

A plugin stands before those which import it: pytest rewrites its assertions while importing.
"""

import compileall
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from awa.processes.cpus import available_cpus

ROOT = Path(__file__).parents[1]
COMPILED = ("awa", "tests/fixtures", "tests/django/site", "tests/chaos")

pytest_plugins = [
    "tests.fixtures.waiting",
    "tests.fixtures.postgres",
    "tests.fixtures.processes",
    "tests.fixtures.supervisor",
]


WORKERS_MORE = 2

# Without a deadline: a busy machine must not fail a test whose result is right.
settings.register_profile("awa", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("awa")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """For `-n auto`, more workers than CPUs: for much of its time a test waits for a process, a lock or the clock."""
    return available_cpus() + WORKERS_MORE


def pytest_configure(config: pytest.Config) -> None:
    """Take Ctrl-C as from a terminal: a shell that starts us in the background has it ignored, by our children too.

    And compile, once: hundreds of processes of these tests import what is here, and none of them writes bytecode.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        for place in COMPILED:
            compileall.compile_dir(ROOT / place, quiet=2)
