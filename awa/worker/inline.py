"""Run jobs in the calling process, for tests and scripts: what `Client.work` does."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from time import sleep
from typing import Any, Final

import psycopg

from awa.database.open import connect, is_pooled
from awa.database.schema import chain
from awa.engine import nodes, promote, rescue
from awa.engine.rescue import PROCESS_LOST, WorkerExit
from awa.errors import AwaError, DatabaseError
from awa.processes.board.scoreboard import Board
from awa.processes.board.slot import Slot, WorkerState
from awa.task.registry import Registry
from awa.telemetry import events
from awa.worker.claimer import NodeDeclaredDead
from awa.worker.completion import LeftOpen
from awa.worker.interrupts import Interrupts, Timer
from awa.worker.lease_size import LEASE_JOBS_MAX
from awa.worker.loop import WorkerLoop

HEARTBEAT_S: Final = 5.0
INLINE_POLL_S: Final = 0.1


def work(
    dsn: str, registry: Registry, queues: Sequence[str] | None, *, until_idle: bool = True, limit: int | None = None
) -> int:
    """Claim and run jobs here; return how many ran.

    What an earlier call has left that was killed is taken apart first. Stops when nothing is due (`until_idle`), or
    after `limit` jobs; without either, runs until interrupted. A job interrupted by an exception (Ctrl-C) has spent its
    attempt; the jobs behind it are handed back.
    """
    _refuse_inside_event_loop(registry)
    with connect(dsn, role="inline worker") as connection:
        chain.check(connection)
        if killed := nodes.killed(connection):
            rescue.rescue_stale(connection, killed, worker_exit=PROCESS_LOST)
        nodes.tell_tasks(connection, registry.max_attempts)
        name, is_inline = f"{socket.gethostname()} (inline)", not is_pooled(connection)
        node = nodes.register_node(connection, name, registry.kinds, queues, is_inline=is_inline)
        with _Heartbeat(dsn, node):
            try:
                return _work(connection, node, registry, queues, until_idle, limit)
            except NodeDeclaredDead as declared_dead:
                raise DatabaseError(
                    "this process could not reach the database for so long that it was taken for dead, and its jobs "
                    "were given to others"
                ) from declared_dead
            except LeftOpen as left_open:
                raise AwaError(f"{left_open}, in which it had called job.complete(); commit it there") from left_open
            finally:
                nodes.leave_node(connection, node)


def _work(
    connection: psycopg.Connection[Any],
    node: int,
    registry: Registry,
    queues: Sequence[str] | None,
    until_idle: bool,
    limit: int | None,
) -> int:
    worker = nodes.register_worker(connection, node)
    assert worker is not None, "this process's node, registered a moment ago, is gone"
    board = Board.create(1)
    slot = board[0]
    interrupts = Interrupts(slot)
    loop = WorkerLoop(
        connection,
        worker,
        slot,
        slot.take(worker),
        registry,
        queues,
        interrupts=interrupts,
        interruptible=True,
        exhaustive=True,
    )
    try:
        with Timer(slot, interrupts):
            _run(connection, loop, slot, until_idle, limit)
        return loop.jobs_done
    finally:
        _leave(connection, worker, loop)
        board.close()


def _run(
    connection: psycopg.Connection[Any], loop: WorkerLoop, slot: Slot, until_idle: bool, limit: int | None
) -> None:
    while limit is None or loop.jobs_done < limit:
        left = LEASE_JOBS_MAX if limit is None else limit - loop.jobs_done
        if loop.step(left) or promote.promote(connection).jobs:
            continue
        if until_idle:
            break
        slot.enter(WorkerState.IDLE)
        sleep(INLINE_POLL_S)


def _refuse_inside_event_loop(registry: Registry) -> None:
    """An event loop for handlers cannot run in a thread that runs one already (a notebook, an async test)."""
    coroutines = [task.kind for task in registry if task.is_async]
    if coroutines and _inside_event_loop():
        raise AwaError(
            f"work() was called inside a running event loop, where the async def handlers of {', '.join(coroutines)} "
            "cannot run. Call it in a thread: await asyncio.to_thread(client.work)"
        )


def _inside_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _leave(connection: psycopg.Connection[Any], worker: int, loop: WorkerLoop) -> None:
    """Settle what ran, spend the attempt of a job that was interrupted, hand back the rest."""
    remains = loop.remains()
    running = remains.running.job_id if remains.running else 0
    rescue.rescue(
        connection, worker, WorkerExit("interrupted", running, details={"type": "Interrupted"}), remains.finished
    )
    loop.close()


class _Heartbeat:
    """Keeps the node alive in a thread: its jobs may run for longer than a heartbeat is trusted."""

    def __init__(self, dsn: str, node: int) -> None:
        self._dsn = dsn
        self._node = node
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="awa-heartbeat", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._done.wait(HEARTBEAT_S):
            try:
                with connect(self._dsn, role="inline heartbeat") as connection:
                    nodes.heartbeat(connection, self._node)
            except (DatabaseError, psycopg.Error) as error:  # the next beat may come through
                events.emit(events.DATABASE_LOST, who="inline heartbeat", error=" ".join(str(error).split()))
