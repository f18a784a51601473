"""What the command line says of jobs whose unique key another job has taken."""

from __future__ import annotations

import pytest

from awa import Client
from tests.cli.conftest import Run
from tests.client.test_taken_keys import failed_and_replaced

pytestmark = pytest.mark.postgres


def test_dead_letters_that_stay_are_told(awa: Run, client: Client) -> None:
    old, new, _ = failed_and_replaced(client, dlq=True)
    said = awa("dlq", "retry", old, code=1).output
    assert f"job {new} holds its unique key now" in said
    assert "is no dead letter" not in said
    lines = awa("dlq", "retry-bulk", "--queue", "q").output.splitlines()
    assert lines[0] == "Retried 1 jobs"
    assert lines[1].startswith("1 are left: another job holds their unique key")


def test_failed_jobs_that_stay_are_told(awa: Run, client: Client) -> None:
    failed_and_replaced(client, dlq=False)
    lines = awa("job", "retry-failed", "--kind", "bad").output.splitlines()
    assert lines == ["Retried 1 jobs", "1 stay failed: another job holds their unique key; awa job retry ID says which"]
