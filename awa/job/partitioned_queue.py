"""One logical queue spread over several physical ones: jobs with one key always land in the same of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, TypedDict

from awa.errors import ValidationError
from awa.job.ordering_key import key_bytes, ordering_key_bytes, partition_of
from awa.job.validate import check_name, check_whole

PARTITIONS: Final = range(1, 32_768)
_COUNT: Final = range(1, 2**31)
_COUNT_OR_NONE: Final = range(2**31)


class Route(TypedDict):
    """The route of a job: options of an insert."""

    queue: str


class KeyedRoute(Route):
    """The route of a job, and its ordering key there."""

    ordering_key: bytes


class PartitionedQueue:
    """One logical queue spread over several physical ones, by a key or by turns.

    The first physical queue has the logical name, the others are called `name__p1`, `name__p2`, … A key leads to the
    same queue in every process and every language, as long as the number of partitions stays what it is: so let a
    queue run empty before changing that, where order matters.

        orders = awa.PartitionedQueue("orders", 4)
        client.insert(args, **orders.route_by_key(customer_id))
    """

    __slots__ = ("_logical_queue", "_physical_queues")

    def __init__(self, logical_queue: str, partitions: int) -> None:
        """Name the queues.

        Args:
            logical_queue: the name of the whole, and of the first physical queue.
            partitions: how many physical queues there are, from 1 to 32,767.

        Raises:
            ValidationError: a name or the number is not what it must be.
        """
        check_name("logical_queue", logical_queue)
        check_whole("partitions", partitions, PARTITIONS)
        self._set(logical_queue, (logical_queue, *(f"{logical_queue}__p{at}" for at in range(1, partitions))))

    @classmethod
    def from_physical_queues(cls, logical_queue: str, physical_queues: Iterable[str]) -> PartitionedQueue:
        """Return a partitioned queue whose physical queues have names of your own, in this order.

        Raises:
            ValidationError: a name is none, or is there twice, or there are not 1 to 32,767 of them.
        """
        check_name("logical_queue", logical_queue)
        names = _listed(physical_queues)
        check_whole("the number of physical_queues", len(names), PARTITIONS)
        made = cls.__new__(cls)
        made._set(logical_queue, names)
        return made

    def _set(self, logical_queue: str, physical_queues: tuple[str, ...]) -> None:
        seen: set[str] = set()
        for name in physical_queues:
            check_name("physical queue", name)
            if name in seen:
                raise ValidationError(f"physical queue {name!r} is there twice; every partition needs one of its own")
            seen.add(name)
        self._logical_queue = logical_queue
        self._physical_queues = physical_queues

    @property
    def logical_queue(self) -> str:
        """The name of the whole."""
        return self._logical_queue

    @property
    def physical_queues(self) -> list[str]:
        """The names of the queues that jobs are in."""
        return list(self._physical_queues)

    @property
    def partitions(self) -> int:
        """Number of physical queues."""
        return len(self._physical_queues)

    def queue_for_key(self, key: str | bytes) -> str:
        """Return the physical queue that jobs with this key are in. Text counts as its UTF-8."""
        return self._physical_queues[partition_of(key_bytes(key, "key"), len(self._physical_queues))]

    def queue_for_index(self, index: int) -> str:
        """Return the physical queue of this number, counted from 0 and round and round."""
        return self._physical_queues[_checked_index(index) % len(self._physical_queues)]

    def route_by_key(self, key: str | bytes) -> KeyedRoute:
        """Return `queue` and `ordering_key` for an insert: jobs with this key start in the order of their insertion.

        Raises:
            ValidationError: the key can be no ordering key: 1 to 1,000 bytes, or text of as many.
        """
        ordering_key = ordering_key_bytes(key)
        if ordering_key is None:
            raise ValidationError("key is None; to spread jobs that need no order, use route_by_index")
        return {"queue": self.queue_for_key(ordering_key), "ordering_key": ordering_key}

    def route_by_index(self, index: int) -> Route:
        """Return `queue` for an insert: that of this number, for jobs that only need to be spread."""
        return {"queue": self.queue_for_index(index)}

    def queue_configs(
        self,
        max_workers_per_partition: int | None = None,
        *,
        min_workers_per_partition: int | None = None,
        weight: int = 1,
        rate_limit_per_partition: tuple[float, int] | None = None,
        priority_aging_interval_ms: int | None = None,
        deadline_duration_ms: int | None = None,
        claimers: int | None = None,
        claim_batch_size: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return a description of each physical queue for runtimes that are started with a list of queues.

        Supervisors need none: they work on all queues there are, or on those they are given by name, and how jobs are
        treated is set with `configure_queue`. What is None is left out of the dicts, and so is the weight of queues
        with a fixed number of workers.

        Args:
            max_workers_per_partition: workers that each queue has to itself. Either this or the next.
            min_workers_per_partition: workers that each queue has at least; the rest is shared by weight.
            weight: the share of each queue.
            rate_limit_per_partition: how many jobs a second each queue may start, and how many at once. Only passed on
                in the dicts: supervisors of this release limit no rates.
            priority_aging_interval_ms: after how long a job is as urgent as one of the next priority; 0: never.
            deadline_duration_ms: how long an attempt may take; 0: as long as it likes.
            claimers: how many claim from each queue.
            claim_batch_size: how many jobs they claim at once.

        Raises:
            ValidationError: a number is not what it must be, or it is not one of both numbers of workers.
        """
        check_whole("weight", weight, _COUNT)
        shared: dict[str, Any] = {
            **_workers(max_workers_per_partition, min_workers_per_partition, weight),
            "rate_limit": None if rate_limit_per_partition is None else _rate_limit(rate_limit_per_partition),
            "priority_aging_interval_ms": _number(
                "priority_aging_interval_ms", priority_aging_interval_ms, _COUNT_OR_NONE
            ),
            "deadline_duration_ms": _number("deadline_duration_ms", deadline_duration_ms, _COUNT_OR_NONE),
            "claimers": _number("claimers", claimers, _COUNT),
            "claim_batch_size": _number("claim_batch_size", claim_batch_size, _COUNT),
        }
        given = {name: value for name, value in shared.items() if value is not None}
        return [{"name": queue, **given} for queue in self._physical_queues]

    def __len__(self) -> int:
        return len(self._physical_queues)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PartitionedQueue):
            return NotImplemented
        return (self._logical_queue, self._physical_queues) == (other._logical_queue, other._physical_queues)

    def __hash__(self) -> int:
        return hash((self._logical_queue, self._physical_queues))

    def __repr__(self) -> str:
        return f"PartitionedQueue(logical_queue={self._logical_queue!r}, partitions={self.partitions})"


def _listed(names: Any) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise ValidationError(f"physical_queues is {names!r:.100}; it must be a list of names of queues")
    return tuple(names)


def _checked_index(index: Any) -> int:
    if isinstance(index, int) and not isinstance(index, bool) and index >= 0:
        return index
    raise ValidationError(f"index is {index!r:.100}; it must be a whole number from 0")


def _workers(most: Any, least: Any, weight: int) -> dict[str, int]:
    if (most is None) == (least is None):
        said = "neither" if most is None else "both"
        raise ValidationError(
            f"{said} of max_workers_per_partition and min_workers_per_partition given; it must be one of them"
        )
    if most is not None:
        return {"max_workers": check_whole("max_workers_per_partition", most, _COUNT)}
    return {"min_workers": check_whole("min_workers_per_partition", least, _COUNT_OR_NONE), "weight": weight}


def _number(name: str, value: Any, allowed: range) -> int | None:
    return None if value is None else check_whole(name, value, allowed)


def _rate_limit(value: Any) -> tuple[float, int]:
    match value:
        case (int() | float() as per_second, int() as burst) if per_second > 0 and burst > 0:
            return per_second, burst
    raise ValidationError(
        f"rate_limit_per_partition is {value!r:.100}; it must be two numbers above 0: jobs per second, and at once"
    )
