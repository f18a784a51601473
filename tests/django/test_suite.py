"""The project's own tests, by Django's runner: it makes a test database, and Awa's schema is in it."""

from __future__ import annotations

from typing import Any

import django
import pytest

from tests.django.conftest import TASKS, MakeSite

SUITE = "tests.django.site.shop.suite"
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "without time zones": {"USE_TZ": False},
    "server side binding": {"OPTIONS": {"server_side_binding": True}},
    "pool": {"OPTIONS": {"pool": True}},
    "no migrations": {"MIGRATION_MODULES": {"awa": None, "shop": None}},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_inserting(tested: MakeSite, variant: str) -> None:
    if variant == "pool" and django.VERSION < (5, 1):
        pytest.skip("Django has pools since 5.1")
    ran = tested(**VARIANTS[variant]).manage("test", f"{SUITE}.inserting")
    assert "Ran 16 tests" in ran
    assert "OK" in ran


def test_the_tasks_framework(tested: MakeSite) -> None:
    ran = tested(TASKS=TASKS).manage("test", f"{SUITE}.tasking")
    assert "OK" in ran
