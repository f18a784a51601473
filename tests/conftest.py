"""Loads the fixtures, one plugin a subject.

A plugin stands before those which import it: pytest rewrites its assertions while importing.
"""

import compileall
import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMPILED = ("awa", "tests/fixtures", "tests/django/site", "tests/chaos")

pytest_plugins = [
    "tests.fixtures.waiting",
    "tests.fixtures.postgres",
    "tests.fixtures.processes",
    "tests.fixtures.supervisor",
]


def pytest_configure(config: pytest.Config) -> None:
    """Take Ctrl-C as from a terminal: a shell that starts us in the background has it ignored, by our children too.

    And compile, once: hundreds of processes of these tests import what is here, and none of them writes bytecode.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        for place in COMPILED:
            compileall.compile_dir(ROOT / place, quiet=2)
