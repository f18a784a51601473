"""Events and their subscribers. The core emits; edges (logs, OpenTelemetry) subscribe.

An event is a name, "verb.noun", and fields. The verbs are those of a job's life and of the processes that carry it.
With no subscriber an emit costs one function call. Subscribers run in the emitter's thread and must be quick.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

logger = logging.getLogger("awa.telemetry")

# insert
INSERT_JOBS = "insert.jobs"
# seal
SEAL_BATCHES = "seal.batches"
SEAL_RESTORED = "seal.restored"
SEAL_RESEALED = "seal.resealed"
SEAL_IDS_BEHIND = "seal.ids_behind"
SEAL_STOPPED = "seal.stopped"
# claim
CLAIM_LOCKED = "claim.locked"
# run
RUN_FINISHED = "run.finished"
RUN_TIMED_OUT = "run.timed_out"
RUN_CANCELLED = "run.cancelled"
RUN_TRANSACTION_LEFT_OPEN = "run.transaction_left_open"
# settle
SETTLE_JOBS = "settle.jobs"
SETTLE_REFUSED = "settle.refused"
SETTLE_ROW_MISSING = "settle.row_missing"
SETTLE_STAND_IN = "settle.stand_in"
# promote
PROMOTE_JOBS = "promote.jobs"
# rescue
RESCUE_JOBS = "rescue.jobs"
RESCUE_NODE = "rescue.node"
RESCUE_CRASH_LOOP = "rescue.crash_loop"
# retire
RETIRE_SEGMENT = "retire.segment"
RETIRE_POSTPONED = "retire.postponed"
RETIRE_OVERFLOW = "retire.overflow"
RETIRE_REFUSED = "retire.refused"
# control
CONTROL_CANCELLED = "control.cancelled"
CONTROL_EXPIRED = "control.expired"
CONTROL_RETRIED = "control.retried"
CONTROL_DISCARDED = "control.discarded"
CONTROL_HASTENED = "control.hastened"
CONTROL_PAUSED = "control.paused"
CONTROL_RESUMED = "control.resumed"
# dlq
DLQ_MOVED = "dlq.moved"
DLQ_RETRIED = "dlq.retried"
DLQ_PURGED = "dlq.purged"
# lead
LEAD_ELECTED = "lead.elected"
LEAD_LOST = "lead.lost"
LEAD_QUEUE_PAUSED = "lead.queue_paused"
LEAD_QUEUE_RESUMED = "lead.queue_resumed"
LEAD_UNKNOWN_KIND = "lead.unknown_kind"
# database
DATABASE_CONNECTED = "database.connected"
DATABASE_LOST = "database.lost"
DATABASE_LOCKED = "database.locked"
# worker
WORKER_STARTED = "worker.started"
WORKER_START_FAILED = "worker.start_failed"
WORKER_READY = "worker.ready"
WORKER_RECYCLED = "worker.recycled"
WORKER_EXITED = "worker.exited"
WORKER_KILLED = "worker.killed"
WORKER_DAMAGED = "worker.damaged"
# supervisor
SUPERVISOR_READY = "supervisor.ready"
SUPERVISOR_SIGNAL = "supervisor.signal"
SUPERVISOR_RELOADED = "supervisor.reloaded"
SUPERVISOR_DRAINING = "supervisor.draining"
SUPERVISOR_GIVING_UP = "supervisor.giving_up"
SUPERVISOR_STOPPED = "supervisor.stopped"
SUPERVISOR_WARNING = "supervisor.warning"
SUPERVISOR_DECLARED_DEAD = "supervisor.declared_dead"
SUPERVISOR_SERVICE_FAILED = "supervisor.service_failed"
SUPERVISOR_RELOAD_FAILED = "supervisor.reload_failed"


class Subscriber(Protocol):
    """Whatever can be called with an event's name and its fields."""

    def __call__(self, event: str, fields: dict[str, Any], /) -> None: ...


_subscribers: tuple[Subscriber, ...] = ()
"""Replaced whole, never changed in place, so that emit may iterate it while another thread subscribes."""


def emit(event: str, **fields: Any) -> None:
    """Tell every subscriber that `event` happened. A subscriber that raises is logged and does not harm the emitter."""
    for subscriber in _subscribers:
        try:
            subscriber(event, fields)
        except Exception:
            logger.exception("telemetry subscriber %r failed on event %r", subscriber, event)


def subscribe(subscriber: Subscriber) -> Callable[[], None]:
    """Call `subscriber(event, fields)` for every event from now on. Returns a function that ends it."""
    global _subscribers
    _subscribers = (*_subscribers, subscriber)

    def unsubscribe() -> None:
        global _subscribers
        _subscribers = tuple(other for other in _subscribers if other is not subscriber)

    return unsubscribe
