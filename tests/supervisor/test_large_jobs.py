"""A worker that has many large jobs in lease does not have all of them in memory."""

from __future__ import annotations

import random

import pytest

from awa.client.client import Client
from tests.fixtures.supervisor import Shop, Start

pytestmark = [pytest.mark.processes, pytest.mark.postgres]

JOBS = 24
MIB = 8


def test_memory_stays_near_one_slice(shop: Shop, supervise: Start) -> None:
    supervise(processes=1)
    # The worker learns how short these are, so that one lease has all the large ones.
    small = shop.insert_many([("weigh", {})] * 300)
    shop.until_state("completed", *small, timeout=60)
    before_mib = max(shop.job(job)["result"] for job in small)
    args = {"noise": random.Random(7).randbytes(MIB << 19).hex()}
    with Client(shop.dsn, payload_bytes_max=20_000_000) as client:
        large = client.insert_many([args] * JOBS, kind="weigh").ids
    shop.until_state("completed", *large, timeout=120)
    mib = [shop.rows("select (result)::int from awa.jobs where id = %s", job)[0] for job in large]
    assert shop.rows("select count(*) from awa.attempts where job_id = any (%s)", large) == [JOBS]
    # All of them are 192 MiB, and were twice as much while they were read. A slice has 32.
    assert max(mib) - before_mib < 150, mib
