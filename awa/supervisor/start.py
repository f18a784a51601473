"""Start and end a supervisor whose application is loaded: everything before and after the loop."""

from __future__ import annotations

import sys
from time import monotonic, sleep
from typing import Any, Final

from awa.database.dsn import resolve
from awa.database.errors import translated
from awa.database.open import connect, describe
from awa.database.schema import chain
from awa.database.timeout import RESPONSE_TIMEOUT_S
from awa.engine import nodes, seal
from awa.errors import AwaError
from awa.processes.board.scoreboard import Board
from awa.processes.exit_codes import ExitCode
from awa.processes.forkserver import Ready
from awa.processes.signals import SignalQueue
from awa.processes.wakeups import Wakes
from awa.settings import Settings
from awa.supervisor.delegate import WorkerDelegate
from awa.supervisor.duties import Duty
from awa.supervisor.duties.expire import Expire
from awa.supervisor.duties.ids import Ids
from awa.supervisor.duties.promote import Promote
from awa.supervisor.duties.report import ReportQueues
from awa.supervisor.duties.rescue import Rescue
from awa.supervisor.heartbeat import Heartbeat
from awa.supervisor.leader import Keeper, Leader
from awa.supervisor.listener import Listener
from awa.supervisor.loop import SupervisorLoop
from awa.supervisor.node import Node
from awa.supervisor.pool import WorkerPool
from awa.supervisor.servers import Servers
from awa.supervisor.service import Service
from awa.supervisor.vitals import Vitals
from awa.telemetry import events
from awa.text.printable import printable

LEAVE_S: Final = 5.0
LAST_WORD_S: Final = 0.5


def serve(
    settings: Settings,
    booted: Ready,
    servers: Servers,
    signals: SignalQueue,
    processes: int,
    board: Board,
    wakes: Wakes,
    response_timeout_s: float | None,
) -> int:
    """Sign in and serve until told to stop, with an application that has been loaded; return the exit code."""
    try:
        node = _enter(
            settings,
            booted.info,
            board,
            wakes,
            RESPONSE_TIMEOUT_S if response_timeout_s is None else response_timeout_s,
        )
    except AwaError as error:
        servers.stop()
        sys.stderr.write(printable(f"error: {error}\n"))
        return 1
    for warning in booted.warnings + _doubts(node, booted.info):
        events.emit(events.SUPERVISOR_WARNING, warning=warning)
    return _serve(node, servers, signals, processes, booted.info["dsn"])


def _enter(settings: Settings, info: dict[str, Any], board: Board, wakes: Wakes, response_timeout_s: float) -> Node:
    """Check the database and sign in."""
    dsn = settings.database_url or info["dsn"]
    if not dsn:
        raise AwaError("no database: give --database-url, set DATABASE_URL, or construct the client with one")
    queues = list(settings.queues) if settings.queues else info["queues"]
    node = Node(settings, resolve(dsn), board, wakes, info["kinds"], queues, 0, response_timeout_s)
    with connect(node.dsn, role="supervisor", response_timeout_s=response_timeout_s) as connection:
        chain.check(connection)
        with translated("look at the sequence of job ids"):
            seal.mend_ids(connection)
        with translated("sign in as a node"):
            node.id = nodes.register_node(connection, node.name, node.kinds, node.queues)
    return node


def _doubts(node: Node, info: dict[str, Any]) -> list[str]:
    """Say which queues we were told to work on that no task names: jobs can still be inserted there, but it may be a
    slip of the pen."""
    strange = [queue for queue in node.queues if queue not in info["queues"]]
    if not strange:
        return []
    known = ", ".join(info["queues"])
    return [f"setting queues names {', '.join(strange)}, and no task of the application does (they name {known})"]


def _serve(node: Node, servers: Servers, signals: SignalQueue, processes: int, app_dsn: str | None) -> int:
    """Run the services and the loop; leave in order; return the exit code."""
    delegate, heartbeat, leader = WorkerDelegate(node), Heartbeat(node), Leader(node, _duties(node))
    listener, keeper = Listener(node, delegate), Keeper(node, leader)
    pool = WorkerPool(node, servers.current, delegate, processes, declared_dead=heartbeat.ring)
    services = (listener, leader, keeper, delegate, heartbeat)
    loop = SupervisorLoop(node, servers, signals, pool, listener, heartbeat, leader, Vitals(services), app_dsn)
    for service in services:
        service.start()
    events.emit(events.SUPERVISOR_READY, processes=processes, kinds=",".join(node.kinds), database=describe(node.dsn))
    try:
        loop.run()
    finally:
        loop.end()
        _leave(delegate, heartbeat, listener, leader, keeper)
    events.emit(events.SUPERVISOR_STOPPED, node=node.id)
    return ExitCode.HUNG if loop.has_given_up else ExitCode.OK


def _duties(node: Node) -> list[Duty]:
    settings = node.settings
    return [
        Promote(settings.promote_interval_ms / 1000),
        Expire(),
        Ids(),
        Rescue(node),
        ReportQueues(),
    ]


def _leave(delegate: WorkerDelegate, heartbeat: Heartbeat, *others: Service) -> None:
    """End the services. First let the jobs of the last workers go back: their rescue by another node would take longer.

    The heart beats to the last, and signs out. A database that is away is not waited for much longer than LEAVE_S.
    """
    deadline = monotonic() + LEAVE_S
    for service in others:
        service.end()
    while not delegate.is_done and monotonic() < deadline:
        sleep(0.01)
    delegate.end()
    delegate.join(max(LAST_WORD_S, deadline - monotonic()))
    if not delegate.is_done:
        events.emit(events.SUPERVISOR_WARNING, warning=delegate.unfinished_message())
    heartbeat.end()
    heartbeat.join(max(LAST_WORD_S, deadline - monotonic()))
    for service in others:
        service.join(max(0.0, deadline - monotonic()))
