"""The part of a client that looks after queues: how they stand, pauses, and what is set for them."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal

import psycopg

from awa.engine.admin import control, queues
from awa.engine.admin.control import KnownNames, QueueStat
from awa.enqueue.connected import Connected
from awa.job.queue_policy import QueuePolicy, check_changes
from awa.job.validate import check_name

Default = Literal["default"]


class Queues(Connected):
    """Looks after queues."""

    @abstractmethod
    def _seal_before_callers_transaction(self, connection: psycopg.Connection[Any]) -> None:
        """As of `Jobs`."""

    def queue_stats(self) -> list[QueueStat]:
        """Return how every queue stands, by name."""
        with self._using("read queue statistics") as connection:
            return control.queue_stats(connection)

    def known_names(self) -> KnownNames:
        """Return the queues and kinds that something knows: a job that was inserted, a live node, a configuration."""
        with self._using("read the names of queues and kinds") as connection:
            return control.known_names(connection)

    def pause_queue(self, queue: str, paused_by: str | None = None) -> None:
        """Stop workers from taking jobs from a queue; inserting goes on, running jobs finish. `paused_by` records who
        did it."""
        check_name("queue", queue)
        with self._using(f"pause queue {queue!r}") as connection:
            control.pause(connection, queue, paused_by)

    def resume_queue(self, queue: str) -> None:
        """Let jobs of a paused queue be taken again; nothing happens to one that is not paused."""
        check_name("queue", queue)
        with self._using(f"resume queue {queue!r}") as connection:
            control.resume(connection, queue)

    def drain_queue(self, queue: str) -> int:
        """Cancel all jobs of a queue that wait, for a worker, a time or another attempt; return how many.

        Jobs that are running go on, and the queue takes new ones. Some hundred jobs are cancelled a second.
        """
        check_name("queue", queue)
        with self._using(f"drain queue {queue!r}") as connection:
            self._seal_before_callers_transaction(connection)
            return control.drain(connection, queue)

    def queue_policy(self, queue: str) -> QueuePolicy:
        """Return how the jobs of a queue are treated; of one that has not been configured, the defaults."""
        check_name("queue", queue)
        with self._using(f"read the policy of queue {queue!r}") as connection:
            return queues.policy(connection, queue)

    def configure_queue(
        self,
        queue: str,
        *,
        deadline: int | Default | None = None,
        dlq: bool | Default | None = None,
        ageing: int | Default | None = None,
        retention_completed_h: float | Default | None = None,
        retention_failed_h: float | Default | None = None,
        retention_dlq_h: float | Default | None = None,
        serial: bool | Default | None = None,
        block_on_retry: bool | Default | None = None,
    ) -> QueuePolicy:
        """Change how the jobs of a queue are treated, everywhere and within about a second; return its whole policy.

        Only what is given changes. The text "default" in place of a value: back to the default.

        Args:
            queue: its name; it need not have had any job yet.
            deadline: seconds an attempt may take, unless its task or the job says otherwise; 0: as long as it likes.
            dlq: whether jobs that fail go to the dead-letter queue.
            ageing: seconds after which a job is as urgent as one of the next priority that comes in then; 0: never.
            retention_completed_h: hours that completed and cancelled jobs stay readable.
            retention_failed_h: hours that failed jobs stay readable.
            retention_dlq_h: hours that dead letters are kept.
            serial: whether of the jobs with one ordering key never two run at a time.
            block_on_retry: whether jobs behind one that waits for another try, with the same ordering key, wait until
                it has ended.

        Raises:
            ValidationError: a value is not what it must be; nothing has changed.
        """
        check_name("queue", queue)
        changes = check_changes(
            deadline=deadline,
            dlq=dlq,
            ageing=ageing,
            retention_completed_h=retention_completed_h,
            retention_failed_h=retention_failed_h,
            retention_dlq_h=retention_dlq_h,
            serial=serial,
            block_on_retry=block_on_retry,
        )
        with self._using(f"configure queue {queue!r}") as connection:
            queues.configure(connection, queue, changes)
            return queues.policy(connection, queue)
