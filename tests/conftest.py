"""Loads the fixtures, one plugin a subject."""

pytest_plugins = ["tests.fixtures.postgres", "tests.fixtures.waiting"]
