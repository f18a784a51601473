"""Loads the fixtures, one plugin a subject.

A plugin stands before those which import it: pytest rewrites its assertions while importing.
"""

pytest_plugins = [
    "tests.fixtures.waiting",
    "tests.fixtures.postgres",
    "tests.fixtures.processes",
    "tests.fixtures.supervisor",
]
