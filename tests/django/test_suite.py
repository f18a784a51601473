"""The project's own tests, by Django's runner: it makes a test database, and Awa's schema is in it."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from typing import Any

import django
import pytest

from awa import embedded
from tests.django.conftest import TASKS, MakeSite, Site
from tests.fixtures.postgres import SETTINGS
from tests.fixtures.run import VARIABLE

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


def test_the_role_of_an_embedded_server_can_run_it() -> None:
    home = Path(os.environ[VARIABLE]) / f"own-{secrets.token_hex(4)}"
    with embedded.start(home, settings=SETTINGS) as server:
        ran = Site(server.dsn).manage("test", f"{SUITE}.inserting.InOneTransaction")
    shutil.rmtree(home)
    assert "OK" in ran


def test_the_tasks_framework(tested: MakeSite) -> None:
    ran = tested(TASKS=TASKS).manage("test", f"{SUITE}.tasking")
    assert "OK" in ran
