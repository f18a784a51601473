"""Faults of the database and of the way to it: ended connections, a crash, a network that stalls, cuts and delays."""

from __future__ import annotations

import random
import time
from typing import Final

from tests.chaos.fault import Hit, NoTarget, Scene, connected, fault

_BACKENDS: Final = (
    "select pid from pg_stat_activity where datname = current_database() and application_name ~ '^(awa|app)'"
)


@fault(8)
def backend_end(scene: Scene, draw: random.Random) -> Hit:
    """pg_terminate_backend of one connection of the fleet."""
    with connected(scene) as connection:
        found = [pid for (pid,) in connection.execute(_BACKENDS)]
        if not found:
            raise NoTarget
        connection.execute("select pg_terminate_backend(%s)", [draw.choice(found)])
    return Hit()


@fault(2)
def backends_end(scene: Scene, draw: random.Random) -> Hit:
    """pg_terminate_backend of every connection of the fleet."""
    with connected(scene) as connection:
        connection.execute(f"select pg_terminate_backend(pid) from ({_BACKENDS}) as them".encode())
    return Hit()


@fault(1.5)
def server_crash(scene: Scene, draw: random.Random) -> Hit:
    """The server stops at once and is back after up to two seconds; it forgets what it had not made durable."""
    if not scene.server.crash(draw.uniform(0, 2)):
        raise NoTarget
    return Hit()


@fault(4)
def network_stall(scene: Scene, draw: random.Random) -> Hit:
    """Nothing gets through between a node and the database, in one direction or in both, for up to four seconds."""
    node = scene.fleet.some(draw)
    node.proxy.stall(draw.choice(["to_server", "to_client", "both"]))
    time.sleep(draw.uniform(0.1, 4))
    node.proxy.resume()
    return Hit(node.index)


@fault(2, dear=True)
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
