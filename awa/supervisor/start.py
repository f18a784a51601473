"""Start and end a supervisor: everything before and after the loop."""

from __future__ import annotations

import os
import select
import sys
from signal import Signals
from time import monotonic, sleep
from typing import Any, Final

from awa import logs, telemetry
from awa.database import schema
from awa.database.bounded import ANSWER_S
from awa.database.connections import connect, describe
from awa.database.dsn import resolve
from awa.database.errors import translated
from awa.database.source import DSN_VARIABLE
from awa.engine import lead
from awa.errors import AwaError
from awa.processes.board import Board
from awa.processes.cpus import available_cpus
from awa.processes.exitcodes import ExitCode
from awa.processes.forkserver import BootFailed, ForkServer, ForkServerGone, Ready
from awa.processes.signals import SignalQueue
from awa.processes.title import Title
from awa.processes.wakes import Wakes
from awa.settings import Settings
from awa.supervisor.duties import Duty
from awa.supervisor.duties.expire import Expire
from awa.supervisor.duties.promote import Promote
from awa.supervisor.duties.report import Report
from awa.supervisor.duties.rescue import Rescue
from awa.supervisor.duties.retire import Retire
from awa.supervisor.heart import Heart
from awa.supervisor.leader import Leader
from awa.supervisor.loop import SIGNALS, Loop
from awa.supervisor.node import Node
from awa.supervisor.pool import Pool
from awa.supervisor.proxy import Proxy
from awa.supervisor.servers import Servers
from awa.supervisor.service import Service
from awa.supervisor.waker import Waker

BOOT: Final = "awa.worker.app:boot"
CHILD: Final = "awa.worker.child:main"
STOPPING: Final = frozenset({Signals.SIGTERM, Signals.SIGINT, Signals.SIGQUIT})
KILLED: Final = frozenset({Signals.SIGKILL, *STOPPING, Signals.SIGHUP})
"""Signals that come from outside, an operator's or the kernel's for want of memory: starting again would help."""
BOOT_LOOK_MS: Final = 1000
"""How often to see whether a forkserver that says nothing still lives."""
LEAVE_S: Final = 5.0
LAST_WORD_S: Final = 0.5


def run(settings: Settings, *, answer_s: float = ANSWER_S) -> int:
    """Run a supervisor until it is told to stop; return the exit code.

    `answer_s`: how long the server may take for an answer, in seconds.
    0: drained. 1: the database cannot be used, or the loader was killed. 3: the application cannot be loaded; starting
    again would not help.
    """
    logs.setup(settings.log_format, settings.log_level, "supervisor")  # type: ignore[arg-type]
    Title("supervisor").show("starting")
    signals = SignalQueue(SIGNALS)
    processes = settings.processes or available_cpus()
    board, wakes = _shared(processes)

    def start_server() -> ForkServer:
        message, env = {"app": settings.app}, _environment(settings)
        return ForkServer.start(BOOT, CHILD, board=board, wakes=wakes, message=message, env=env)

    server = start_server()
    booted = _await_boot(server, signals)
    if not isinstance(booted, Ready):
        server.stop(timeout_s=0)
        return _boot_failed(booted)
    try:
        node = _enter(settings, booted.info, board, wakes, answer_s)
    except AwaError as error:
        server.stop()
        return _refused(str(error))
    for warning in booted.warnings + _doubts(node, booted.info):
        telemetry.emit(telemetry.SUPERVISOR_WARNING, warning=warning)
    _serve(node, Servers(server, start_server), signals, processes, booted.info["dsn"])
    return ExitCode.OK


def _environment(settings: Settings) -> dict[str, str] | None:
    """Return the application's environment: a client that names no database means the one given on the command line."""
    return {**os.environ, DSN_VARIABLE: settings.database_url} if settings.database_url else None


def _shared(processes: int) -> tuple[Board, Wakes]:
    """Make board and wake-ups with room for as many workers again: a reload has old and new ones side by side."""
    slots = max(2 * processes, processes + 8)
    return Board.create(slots), Wakes.create(slots)


def _await_boot(server: ForkServer, signals: SignalQueue) -> Ready | BootFailed | ForkServerGone | None:
    """Wait until the application is loaded, or cannot be; None: we were told to stop meanwhile."""
    poll = select.poll()
    poll.register(server.fileno(), select.POLLIN)
    poll.register(signals.fileno(), select.POLLIN)
    while True:
        poll.poll(BOOT_LOOK_MS)
        for event in server.poll():
            if isinstance(event, (Ready, BootFailed, ForkServerGone)):
                return event
        if STOPPING.intersection(signals.take()):
            return None


def _boot_failed(event: BootFailed | ForkServerGone | None) -> int:
    match event:
        case None:
            return ExitCode.OK
        case BootFailed(error=error, traceback=trace):
            if not error.startswith("AppLoadError"):  # their code's error, not ours: show where it happened
                sys.stderr.write(trace)
            sys.stderr.write(f"error: the application cannot be loaded: {error.removeprefix('AppLoadError: ')}\n")
        case ForkServerGone(signal=signal) if signal in KILLED:
            return _refused(f"the process that loaded the application was killed ({Signals(signal).name}); start again")
        case ForkServerGone(code=code, signal=signal):
            how = f"signal {signal}" if signal is not None else f"exit code {code}"
            sys.stderr.write(f"error: the application ended the process that loaded it ({how})\n")
    return ExitCode.BOOT_FAILED


def _refused(text: str) -> int:
    sys.stderr.write(f"error: {text}\n")
    return 1


def _enter(settings: Settings, info: dict[str, Any], board: Board, wakes: Wakes, answer_s: float) -> Node:
    """Check the database and sign in."""
    dsn = settings.database_url or info["dsn"]
    if not dsn:
        raise AwaError("no database: give --database-url, set DATABASE_URL, or construct the client with one")
    queues = list(settings.queues) if settings.queues else info["queues"]
    node = Node(settings, resolve(dsn), board, wakes, info["kinds"], queues, 0, answer_s)
    with connect(node.dsn, role="supervisor", answer_s=answer_s) as connection:
        schema.check(connection)
        with translated("sign in as a node"):
            node.id = lead.register_node(connection, node.name, node.kinds, node.queues)
    return node


def _doubts(node: Node, info: dict[str, Any]) -> list[str]:
    """Say which queues we were told to work on that no task names: jobs can still be inserted there, but it may be a
    slip of the pen."""
    strange = [queue for queue in node.queues if queue not in info["queues"]]
    if not strange:
        return []
    known = ", ".join(info["queues"])
    return [f"setting queues names {', '.join(strange)}, and no task of the application does (they name {known})"]


def _serve(node: Node, servers: Servers, signals: SignalQueue, processes: int, app_dsn: str | None) -> None:
    """Run the services and the loop; leave in order."""
    proxy, heart, leader = Proxy(node), Heart(node), Leader(node, _duties(node))
    waker = Waker(node, proxy)
    pool = Pool(node, servers.current, proxy, processes, fenced=heart.ring)
    loop = Loop(node, servers, signals, pool, waker, heart, leader, app_dsn)
    for service in (waker, leader, proxy, heart):
        service.start()
    telemetry.emit(
        telemetry.SUPERVISOR_READY, processes=processes, kinds=",".join(node.kinds), database=describe(node.dsn)
    )
    try:
        loop.run()
    finally:
        loop.end()
        _leave(proxy, heart, waker, leader)
    telemetry.emit(telemetry.SUPERVISOR_STOPPED, node=node.id)


def _duties(node: Node) -> list[Duty]:
    settings = node.settings
    return [
        Promote(settings.promote_interval_ms / 1000),
        Expire(),
        Rescue(node),
        Retire(settings),
        Report(),
    ]


def _leave(proxy: Proxy, heart: Heart, *others: Service) -> None:
    """End the services. First let the jobs of the last workers go back: their rescue by another node would take longer.

    The heart beats to the last, and signs out. A database that is away is not waited for much longer than LEAVE_S.
    """
    deadline = monotonic() + LEAVE_S
    for service in others:
        service.end()
    while not proxy.is_done and monotonic() < deadline:
        sleep(0.01)
    proxy.end()
    proxy.join(max(LAST_WORD_S, deadline - monotonic()))
    if not proxy.is_done:
        telemetry.emit(telemetry.SUPERVISOR_WARNING, warning=proxy.regrets())
    heart.end()
    heart.join(max(LAST_WORD_S, deadline - monotonic()))
    for service in others:
        service.join(max(0.0, deadline - monotonic()))
