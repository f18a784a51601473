"""Partitioned queues: the names, which key leads where, and what is refused."""

from __future__ import annotations

import copy
import pickle
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from awa import PartitionedQueue, ValidationError
from tests.job.test_ordering_key import VECTORS

orders = PartitionedQueue("orders", 4)


def test_the_first_queue_has_the_logical_name() -> None:
    assert orders.logical_queue == "orders"
    assert orders.physical_queues == ["orders", "orders__p1", "orders__p2", "orders__p3"]
    assert orders.partitions == len(orders) == 4
    assert repr(orders) == "PartitionedQueue(logical_queue='orders', partitions=4)"
    assert PartitionedQueue("orders", 1).physical_queues == ["orders"]
    assert len(PartitionedQueue("orders", 32_767)) == 32_767


def test_the_queues_may_have_names_of_their_own() -> None:
    mails = PartitionedQueue.from_physical_queues("mails", ("north", "south"))
    assert mails.logical_queue == "mails"
    assert mails.physical_queues == ["north", "south"]
    assert [mails.queue_for_index(at) for at in range(3)] == ["north", "south", "north"]
    assert mails.queue_for_key("a") == "south"


@pytest.mark.parametrize(("key", "places"), [(key, places) for key, _, _, places in VECTORS])
def test_golden_vectors(key: bytes, places: tuple[int, int, int]) -> None:
    for count, place in zip((2, 4, 16), places, strict=True):
        assert PartitionedQueue("q", count).queue_for_key(key) == ("q" if place == 0 else f"q__p{place}")


def test_a_key_leads_to_one_queue_however_it_is_given() -> None:
    assert {orders.queue_for_key(key) for key in ("a", b"a", bytearray(b"a"), [97])} == {"orders__p1"}  # type: ignore[arg-type]


def test_many_keys_are_spread_evenly() -> None:
    found = Counter(orders.queue_for_key(f"customer-{number}") for number in range(4_000))
    assert sorted(found) == orders.physical_queues
    assert all(900 < count < 1_100 for count in found.values()), found


def test_routes_are_options_of_an_insert() -> None:
    assert orders.route_by_key("日本") == {"queue": "orders__p1", "ordering_key": "日本".encode()}
    assert orders.route_by_key(b"customer-42") == {"queue": "orders__p3", "ordering_key": b"customer-42"}
    assert orders.route_by_index(6) == {"queue": "orders__p2"}
    assert orders.route_by_index(2**70) == {"queue": "orders"}


def test_equal_by_their_names() -> None:
    same = PartitionedQueue.from_physical_queues("orders", orders.physical_queues)
    assert same == orders
    assert hash(same) == hash(orders)
    assert orders not in (
        PartitionedQueue("orders", 3),
        PartitionedQueue.from_physical_queues("o", same.physical_queues),
    )
    assert orders != "orders"
    assert pickle.loads(pickle.dumps(orders)) == copy.deepcopy(orders) == orders


def test_the_list_of_queues_is_a_copy() -> None:
    orders.physical_queues.clear()
    assert len(orders.physical_queues) == 4


def test_configs_hold_what_was_given() -> None:
    assert PartitionedQueue("q", 2).queue_configs(3) == [
        {"name": "q", "max_workers": 3},
        {"name": "q__p1", "max_workers": 3},
    ]
    assert PartitionedQueue("q", 1).queue_configs(min_workers_per_partition=0) == [
        {"name": "q", "min_workers": 0, "weight": 1}
    ]
    assert PartitionedQueue("q", 1).queue_configs(
        min_workers_per_partition=2,
        weight=3,
        rate_limit_per_partition=(0.5, 10),
        priority_aging_interval_ms=0,
        deadline_duration_ms=7,
        claimers=2,
        claim_batch_size=9,
    ) == [
        {
            "name": "q",
            "min_workers": 2,
            "weight": 3,
            "rate_limit": (0.5, 10),
            "priority_aging_interval_ms": 0,
            "deadline_duration_ms": 7,
            "claimers": 2,
            "claim_batch_size": 9,
        }
    ]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PartitionedQueue("", 4), "logical_queue '' is not a name"),
        (lambda: PartitionedQueue("a\n", 4), "logical_queue 'a\\\\n' is not a name"),
        (lambda: PartitionedQueue("q", 0), "partitions is 0; it must be a whole number from 1 to 32767"),
        (lambda: PartitionedQueue("q", 32_768), "partitions is 32768; it must be a whole number from 1 to 32767"),
        (lambda: PartitionedQueue("q", -1), "partitions is -1"),
        (lambda: PartitionedQueue("q", 1.0), "partitions is 1.0"),  # type: ignore[arg-type]
        (lambda: PartitionedQueue("q", True), "partitions is True"),
        (lambda: PartitionedQueue("q" * 197, 2), "physical queue 'qqq.* is not a name"),
        (lambda: PartitionedQueue.from_physical_queues("", ["a"]), "logical_queue '' is not a name"),
        (lambda: PartitionedQueue.from_physical_queues("q", []), "number of physical_queues is 0"),
        (lambda: PartitionedQueue.from_physical_queues("q", ["a", "b", "a"]), "physical queue 'a' is there twice"),
        (lambda: PartitionedQueue.from_physical_queues("q", ["a", ""]), "physical queue '' is not a name"),
        (lambda: PartitionedQueue.from_physical_queues("q", "ab"), "physical_queues is 'ab'; it must be a list"),
        (lambda: PartitionedQueue.from_physical_queues("q", 2), "physical_queues is 2; it must be a list"),  # type: ignore[arg-type]
        (lambda: orders.queue_for_index(-1), "index is -1; it must be a whole number from 0"),
        (lambda: orders.route_by_index(True), "index is True"),
        (lambda: orders.route_by_index(1.5), "index is 1.5"),  # type: ignore[arg-type]
        (lambda: orders.queue_for_key(42), "key is 42; it must be text, bytes"),  # type: ignore[arg-type]
        (lambda: orders.queue_for_key(None), "key is None; it must be text, bytes"),  # type: ignore[arg-type]
        (lambda: orders.route_by_key(None), "key is None; .*route_by_index"),  # type: ignore[arg-type]
        (lambda: orders.route_by_key(""), "ordering_key is empty"),
        (orders.queue_configs, "neither of max_workers_per_partition and min_workers_per_partition"),
        (lambda: orders.queue_configs(1, min_workers_per_partition=1), "both of max_workers_per_partition and"),
        (lambda: orders.queue_configs(0), "max_workers_per_partition is 0"),
        (lambda: orders.queue_configs(min_workers_per_partition=-1), "min_workers_per_partition is -1"),
        (lambda: orders.queue_configs(1, weight=0), "weight is 0"),
        (lambda: orders.queue_configs(1, claimers=0), "claimers is 0"),
        (lambda: orders.queue_configs(1, claim_batch_size=0), "claim_batch_size is 0"),
        (lambda: orders.queue_configs(1, deadline_duration_ms=-1), "deadline_duration_ms is -1"),
        (lambda: orders.queue_configs(1, priority_aging_interval_ms=1.5), "priority_aging_interval_ms is 1.5"),  # type: ignore[arg-type]
        (lambda: orders.queue_configs(1, rate_limit_per_partition=(0, 1)), "rate_limit_per_partition is \\(0, 1\\)"),
        (lambda: orders.queue_configs(1, rate_limit_per_partition=5), "rate_limit_per_partition is 5"),  # type: ignore[arg-type]
    ],
)
def test_refusals(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        call()
