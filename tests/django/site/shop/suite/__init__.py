"""Tests that Django's runner runs, in a test database that it makes; tests/django/test_suite.py calls it."""
