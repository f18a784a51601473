"""Faults of the database and of the way to it: ended connections, a crash, a network that stalls, cuts and delays."""

from __future__ import annotations

import random
import time
from typing import Final

from psycopg.sql import SQL, Identifier

from tests.chaos.fault import Hit, NoTarget, Scene, connected, fault, mend

_BACKENDS: Final = (
    "select pid from pg_stat_activity where datname = current_database() and application_name ~ '^(awa|app)'"
)

_EAGER_AND_SLOW: Final = {
    "autovacuum_naptime": "1s",
    "autovacuum_vacuum_threshold": "1",
    "autovacuum_vacuum_insert_threshold": "1",
    "autovacuum_vacuum_scale_factor": "0",
    "autovacuum_vacuum_insert_scale_factor": "0",
    "autovacuum_vacuum_cost_delay": "100ms",
    "autovacuum_vacuum_cost_limit": "1",
}


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


@fault(2)
def slow_vacuum(scene: Scene, draw: random.Random) -> Hit:
    """Autovacuum works on whatever has changed, and takes hours for it: segments are to go all the same."""
    for_s = draw.uniform(4, 12)
    with connected(scene, superuser=True) as connection:
        for name, value in _EAGER_AND_SLOW.items():
            connection.execute(f"alter system set {name} = '{value}'".encode())
        connection.execute("select pg_reload_conf()")
    time.sleep(for_s)
    mend(scene, [SQL("alter system reset {}").format(Identifier(name)) for name in _EAGER_AND_SLOW], superuser=True)
    mend(scene, ["select pg_reload_conf()"], superuser=True)
    return Hit()


@fault(2)
def publication(scene: Scene, draw: random.Random) -> Hit:
    """A publication of all tables, for some seconds: the server refuses to change rows that have no identity."""
    name = f"chaos_{draw.getrandbits(32):08x}"
    with connected(scene, superuser=True) as connection:
        connection.execute(f"create publication {name} for all tables".encode())
    time.sleep(draw.uniform(1, 4))
    mend(scene, [SQL("drop publication {}").format(Identifier(name))], superuser=True)
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
