"""Faults of processes: workers, forkservers, supervisors and whole nodes are killed and stopped."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Iterable
from typing import Final

import psutil

from tests.chaos.fault import Hit, NoTarget, Scene, connected, fault, pause, send
from tests.chaos.node import Node


@fault(20)
def worker_kill(scene: Scene, draw: random.Random) -> Hit:
    """SIGKILL of a worker, of one that is in a job if there is one."""
    node, worker = _worker(scene, draw)
    hit = Hit(node.index, worker.pid, time.time())
    send([worker], signal.SIGKILL)
    return hit


@fault(8)
def worker_pause(scene: Scene, draw: random.Random) -> Hit:
    """SIGSTOP of a worker, and SIGCONT after up to three seconds."""
    node, worker = _worker(scene, draw)
    pause([worker], draw.uniform(0.05, 3))
    return Hit(node.index)


@fault(6)
def worker_oom(scene: Scene, draw: random.Random) -> Hit:
    """A job that grows until its worker gets SIGKILL. The kernel's part is played by the job itself: a machine's memory
    cannot be used up in a test, and a control group of one's own needs rights that a test has not."""
    scene.insert("glutton")
    return Hit()


@fault(3)
def board_write(scene: Scene, draw: random.Random) -> Hit:
    """A job that writes random bytes to the board: its worker is killed, and no other worker's jobs are touched."""
    scene.insert("scribble")
    return Hit()


@fault(4)
def forkserver_kill(scene: Scene, draw: random.Random) -> Hit:
    """SIGKILL of a forkserver: its workers die with it."""
    node = scene.fleet.some(draw)
    servers = node.forkservers()
    if not servers:
        raise NoTarget
    send([draw.choice(servers)], signal.SIGKILL)
    return Hit(node.index)


@fault(3)
def forkserver_stop(scene: Scene, draw: random.Random) -> Hit:
    """SIGSTOP of a forkserver for up to twelve seconds: its workers go on, but nothing tells of their deaths meanwhile.

    The supervisor may replace it; SIGCONT then finds it gone.
    """
    node = scene.fleet.some(draw)
    servers = node.forkservers()
    if not servers:
        raise NoTarget
    pause([draw.choice(servers)], draw.uniform(0.2, 12))
    return Hit(node.index)


@fault(3)
def supervisor_kill(scene: Scene, draw: random.Random) -> Hit:
    """SIGKILL of a supervisor: all it has started dies with it, and others get its jobs."""
    node = scene.fleet.some(draw)
    supervisor = node.supervisor()
    if supervisor is None:
        raise NoTarget
    jobs = _leased(scene, supervisor.pid)
    hit = Hit(node.index, None, time.time(), jobs)
    send([supervisor], signal.SIGKILL)
    return hit


@fault(2, dear=True)
def supervisor_pause(scene: Scene, draw: random.Random) -> Hit:
    """SIGSTOP of a supervisor alone until it is taken for dead: its workers go on meanwhile."""
    node = scene.fleet.some(draw)
    supervisor = node.supervisor()
    if supervisor is None:
        raise NoTarget
    pause([supervisor], scene.config.stale_s * draw.uniform(1.1, 1.4))
    return Hit(node.index)


@fault(2, dear=True)
def node_pause(scene: Scene, draw: random.Random) -> Hit:
    """SIGSTOP of a whole node until it is taken for dead, as a virtual machine is paused, and SIGCONT."""
    node = scene.fleet.some(draw)
    pause(node.family(), scene.config.stale_s * draw.uniform(1.1, 1.4))
    return Hit(node.index)


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
    with contextlib.suppress(NoTarget), connected(scene) as connection:
        return [pid for (pid,) in connection.execute(_BUSY)]
    return []


def _leased(scene: Scene, supervisor: int) -> tuple[tuple[int, int], ...]:
    with contextlib.suppress(NoTarget), connected(scene) as connection:
        return tuple(connection.execute(_LEASED, [supervisor]))
    return ()
