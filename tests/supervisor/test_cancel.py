"""A running job that is cancelled: ended at once, and its handler is told."""

from __future__ import annotations

import pytest

from awa.engine import control
from tests.fixtures.supervisor import Shop, Start

pytestmark = [pytest.mark.processes, pytest.mark.postgres]


def test_the_handler_of_a_cancelled_job_hears_of_it_and_its_result_does_not_count(shop: Shop, supervise: Start) -> None:
    supervisor = supervise(processes=2).ready()
    cancelled, other = shop.insert("until_cancelled"), shop.insert("until_cancelled")
    shop.until_effect("waiting", cancelled)
    shop.until_effect("waiting", other)
    assert control.cancel(shop.db, cancelled) is True
    assert shop.states(cancelled) == ["cancelled"]
    shop.until_effect("heard", cancelled)
    supervisor.until_event("settle.refused")
    assert shop.states(cancelled) == ["cancelled"]
    assert shop.effects(other) == ["waiting"]  # only that job is hit
    control.cancel(shop.db, other)
    shop.until_effect("heard", other)


def test_a_client_that_names_no_database_means_that_of_the_command_line(
    shop: Shop, supervise: Start, database: str
) -> None:
    supervise(database_url=database).ready()
    job = shop.insert("own_client")
    shop.until_state("completed", job)
    assert shop.job(job)["result"] == database
