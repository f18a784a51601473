"""The faults, one function each. What one breaks for a while it mends itself; a node that ends is started again by the
fleet. Each says whom it hit, and raises `NoTarget` when there was nobody to hit.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Protocol

import psutil
import psycopg

from tests.chaos.config import Config
from tests.chaos.fleet import Fleet
from tests.chaos.node import Node
from tests.chaos.server import Server


class NoTarget(Exception):
    """There was nothing to break: it was broken already."""


@dataclass
class Hit:
    """What a fault has hit."""

    node: int | None = None
    """None: everybody."""
    pid: int | None = None
    """The worker that was killed."""
    at: float = 0.0
    """When, seconds since the epoch."""
    jobs: tuple[tuple[int, int], ...] = ()
    """Jobs and owners of the leases that a supervisor took with it."""


class Scene(Protocol):
    """What a fault may lay hands on."""

    config: Config
    fleet: Fleet
    server: Server

    def insert(self, kind: str) -> None:
        """Add one job to the stream."""
        ...


Act = Callable[[Scene, random.Random], Hit]


@dataclass(frozen=True)
class Fault:
    """A kind of fault."""

    act: Act
    weight: float
    """How often, compared with others."""
    dear: bool
    """Whether a short run leaves it out: getting over it takes long."""


FAULTS: Final[dict[str, Fault]] = {}


def fault(weight: float, *, dear: bool = False) -> Callable[[Act], Act]:
    """Register a fault by the name of its function."""

    def register(act: Act) -> Act:
        FAULTS[act.__name__] = Fault(act, weight, dear)
        return act

    return register


# Workers


@fault(20)
def worker_kill(scene: Scene, draw: random.Random) -> Hit:
    """SIGKILL of a worker, of one that is in a job if there is one."""
    node, worker = _worker(scene, draw)
    hit = Hit(node.index, worker.pid, time.time())
    _send([worker], signal.SIGKILL)
    return hit


@fault(8)
def worker_pause(scene: Scene, draw: random.Random) -> Hit:
    """SIGSTOP of a worker, and SIGCONT after up to three seconds."""
    node, worker = _worker(scene, draw)
    _pause([worker], draw.uniform(0.05, 3))
    return Hit(node.index)


@fault(6)
def worker_oom(scene: Scene, draw: random.Random) -> Hit:
    """A job that grows until its worker gets SIGKILL. The kernel's part is played by the job itself: a machine's memory
    cannot be used up in a test, and a control group of one's own needs rights that a test has not."""
    scene.insert("glutton")
    return Hit()


# Forkservers and supervisors


@fault(4)
def forkserver_kill(scene: Scene, draw: random.Random) -> Hit:
    """SIGKILL of a forkserver: its workers die with it."""
    node = scene.fleet.some(draw)
    servers = node.forkservers()
    if not servers:
        raise NoTarget
    _send([draw.choice(servers)], signal.SIGKILL)
    return Hit(node.index)


@fault(4)
def supervisor_kill(scene: Scene, draw: random.Random) -> Hit:
    """SIGKILL of a supervisor: all it has started dies with it, and others get its jobs."""
    node = scene.fleet.some(draw)
    supervisor = node.supervisor()
    if supervisor is None:
        raise NoTarget
    jobs = _leased(scene, supervisor.pid)
    hit = Hit(node.index, None, time.time(), jobs)
    _send([supervisor], signal.SIGKILL)
    return hit


@fault(1, dear=True)
def supervisor_pause(scene: Scene, draw: random.Random) -> Hit:
    """SIGSTOP of a supervisor alone until it is taken for dead: its workers go on meanwhile."""
    node = scene.fleet.some(draw)
    supervisor = node.supervisor()
    if supervisor is None:
        raise NoTarget
    _pause([supervisor], scene.config.stale_s * draw.uniform(1.1, 1.4))
    return Hit(node.index)


@fault(1, dear=True)
def node_pause(scene: Scene, draw: random.Random) -> Hit:
    """SIGSTOP of a whole node until it is taken for dead, as a virtual machine is paused, and SIGCONT."""
    node = scene.fleet.some(draw)
    _pause(node.family(), scene.config.stale_s * draw.uniform(1.1, 1.4))
    return Hit(node.index)


# The database


@fault(8)
def backend_end(scene: Scene, draw: random.Random) -> Hit:
    """pg_terminate_backend of one connection of the fleet."""
    with _connected(scene) as connection:
        found = [pid for (pid,) in connection.execute(_BACKENDS)]
        if not found:
            raise NoTarget
        connection.execute("select pg_terminate_backend(%s)", [draw.choice(found)])
    return Hit()


@fault(2)
def backends_end(scene: Scene, draw: random.Random) -> Hit:
    """pg_terminate_backend of every connection of the fleet."""
    with _connected(scene) as connection:
        connection.execute(f"select pg_terminate_backend(pid) from ({_BACKENDS}) as them".encode())
    return Hit()


@fault(1.5)
def server_crash(scene: Scene, draw: random.Random) -> Hit:
    """The server stops at once and is back after up to two seconds; it forgets what it had not made durable."""
    if not scene.server.crash(draw.uniform(0, 2)):
        raise NoTarget
    return Hit()


# The network


@fault(4)
def network_stall(scene: Scene, draw: random.Random) -> Hit:
    """Nothing gets through between a node and the database, in one direction or in both, for up to four seconds."""
    node = scene.fleet.some(draw)
    node.proxy.stall(draw.choice(["to_server", "to_client", "both"]))
    time.sleep(draw.uniform(0.1, 4))
    node.proxy.resume()
    return Hit(node.index)


@fault(1, dear=True)
def network_partition(scene: Scene, draw: random.Random) -> Hit:
    """A node is cut off until it is taken for dead; then its connections break."""
    node = scene.fleet.some(draw)
    node.proxy.stall()
    time.sleep(scene.config.stale_s * draw.uniform(1.1, 1.4))
    node.proxy.cut()
    node.proxy.resume()
    return Hit(node.index)


@fault(5)
def network_cut(scene: Scene, draw: random.Random) -> Hit:
    """Every connection of a node is reset; for up to two seconds it gets no new one."""
    node = scene.fleet.some(draw)
    node.proxy.refuse()
    node.proxy.cut()
    time.sleep(draw.uniform(0, 2))
    node.proxy.resume()
    return Hit(node.index)


@fault(4)
def network_delay(scene: Scene, draw: random.Random) -> Hit:
    """Every packet of a node takes up to 300 ms longer, for some seconds."""
    node = scene.fleet.some(draw)
    node.proxy.delay(draw.uniform(0.02, 0.3))
    time.sleep(draw.uniform(0.5, 3))
    node.proxy.resume()
    return Hit(node.index)


@fault(4)
def network_half_close(scene: Scene, draw: random.Random) -> Hit:
    """One direction of every connection of a node ends."""
    node = scene.fleet.some(draw)
    node.proxy.half_close(draw.choice(["to_server", "to_client"]))
    return Hit(node.index)


# What operators do


@fault(4)
def hup(scene: Scene, draw: random.Random) -> Hit:
    """One HUP: the code is loaded anew, the workers are replaced."""
    node = scene.fleet.some(draw)
    return _tell(node, signal.SIGHUP)


@fault(2)
def hup_storm(scene: Scene, draw: random.Random) -> Hit:
    """Six HUPs, a moment apart."""
    node = scene.fleet.some(draw)
    for _ in range(6):
        _tell(node, signal.SIGHUP)
        time.sleep(draw.uniform(0, 0.2))
    return Hit(node.index)


@fault(4)
def term(scene: Scene, draw: random.Random) -> Hit:
    """TERM: a deploy of one node."""
    return _tell(scene.fleet.some(draw), signal.SIGTERM)


@fault(1)
def term_storm(scene: Scene, draw: random.Random) -> Hit:
    """TERM for every node, a moment apart, some with a second thought."""
    for node in scene.fleet.nodes:
        node.send(signal.SIGTERM)
        time.sleep(draw.uniform(0, 0.2))
        if draw.random() < 0.3:
            node.send(signal.SIGQUIT)
    return Hit()


# Clocks and leaders


@fault(3)
def clock_skew(scene: Scene, draw: random.Random) -> Hit:
    """A node is started again with a clock that is wrong by up to two hours, until its next start."""
    node = scene.fleet.some(draw)
    node.skew_s = draw.choice([-1, 1]) * draw.randrange(60, 7200)
    return _tell(node, signal.SIGTERM)


@fault(4)
def two_leaders(scene: Scene, draw: random.Random) -> Hit:
    """The leader's row is reset: another node is elected while the old one still trusts its own election."""
    with _connected(scene) as connection:
        connection.execute("update awa.leader set node_id = null, until = '-infinity'")
    return Hit()


@fault(2, dear=True)
def leader_pause(scene: Scene, draw: random.Random) -> Hit:
    """SIGSTOP of the leader until another one is elected, and SIGCONT: both lead."""
    with _connected(scene) as connection:
        row = connection.execute("select n.pid from awa.leader l join awa.node n on n.id = l.node_id").fetchone()
    leader = next((n for n in scene.fleet.nodes if row and (found := n.supervisor()) and found.pid == row[0]), None)
    supervisor = leader.supervisor() if leader else None
    if leader is None or supervisor is None:
        raise NoTarget
    _pause([supervisor], scene.config.leader_s * draw.uniform(2.1, 2.6))
    return Hit(leader.index)


# How it is done

_BACKENDS: Final = (
    "select pid from pg_stat_activity where datname = current_database() and application_name ~ '^(awa|app)'"
)
_LEASED: Final = """
select job, b.owner
from awa.node n join awa.worker w on w.node_id = n.id join awa.batch b on b.owner = w.id, unnest(b.ids) job
where n.pid = %s"""
_BUSY: Final = """
select pid from chaos.effect e where what = 'began' and at > clock_timestamp() - interval '5 s'
and not exists (select from chaos.effect r where r.job = e.job and r.attempt = e.attempt and r.what = 'ran')
order by id desc limit 5"""


def _worker(scene: Scene, draw: random.Random) -> tuple[Node, psutil.Process]:
    """A worker; mostly one that is in a job."""
    found = [(node, worker) for node in scene.fleet.nodes for worker in node.workers()]
    if not found:
        raise NoTarget
    busy = set(_busy(scene)) if draw.random() < 0.7 else set()
    return draw.choice([each for each in found if each[1].pid in busy] or found)


def _busy(scene: Scene) -> Iterable[int]:
    """Workers that have begun a job and not ended it, as far as the database can say."""
    with contextlib.suppress(NoTarget), _connected(scene) as connection:
        return [pid for (pid,) in connection.execute(_BUSY)]
    return []


def _leased(scene: Scene, supervisor: int) -> tuple[tuple[int, int], ...]:
    with contextlib.suppress(NoTarget), _connected(scene) as connection:
        return tuple(connection.execute(_LEASED, [supervisor]))
    return ()


@contextlib.contextmanager
def _connected(scene: Scene) -> Any:
    """A connection; no target if the server is away."""
    try:
        with scene.server.connect() as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise NoTarget from error


def _tell(node: Node, number: signal.Signals) -> Hit:
    if not node.send(number):
        raise NoTarget
    return Hit(node.index)


def _pause(processes: list[psutil.Process], seconds: float) -> None:
    if not processes:
        raise NoTarget
    _send(processes, signal.SIGSTOP)
    time.sleep(seconds)
    _send(processes, signal.SIGCONT)


def _send(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            os.kill(process.pid, number) if process.is_running() else None
