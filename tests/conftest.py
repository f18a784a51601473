"""Loads the fixtures, one plugin a subject.

A plugin stands before those which import it: pytest rewrites its assertions while importing.
"""

import signal

pytest_plugins = [
    "tests.fixtures.waiting",
    "tests.fixtures.postgres",
    "tests.fixtures.processes",
    "tests.fixtures.supervisor",
]


def pytest_configure() -> None:
    """Take Ctrl-C as from a terminal: a shell that starts us in the background has it ignored, by our children too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
