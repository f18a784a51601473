"""What operators do and machines have: deploys, many of them at once, clocks that are wrong, two leaders."""

from __future__ import annotations

import random
import signal
import time
from typing import Final

from tests.chaos.fault import Hit, NoTarget, Scene, connected, fault, pause, tell

CLOCK_STEP_MAX_S: Final = 15.0


@fault(4)
def hup(scene: Scene, draw: random.Random) -> Hit:
    """One HUP: the code is loaded anew, the workers are replaced."""
    node = scene.fleet.some(draw)
    return tell(node, signal.SIGHUP)


@fault(2)
def hup_storm(scene: Scene, draw: random.Random) -> Hit:
    """Six HUPs, a moment apart."""
    node = scene.fleet.some(draw)
    for _ in range(6):
        tell(node, signal.SIGHUP)
        time.sleep(draw.uniform(0, 0.2))
    return Hit(node.index)


@fault(3)
def term(scene: Scene, draw: random.Random) -> Hit:
    """TERM: a deploy of one node."""
    return tell(scene.fleet.some(draw), signal.SIGTERM)


@fault(0.7)
def term_storm(scene: Scene, draw: random.Random) -> Hit:
    """TERM for every node, a moment apart, some with a second thought."""
    for node in scene.fleet.nodes:
        node.send(signal.SIGTERM)
        time.sleep(draw.uniform(0, 0.2))
        if draw.random() < 0.3:
            node.send(signal.SIGQUIT)
    return Hit()


@fault(2)
def clock_skew(scene: Scene, draw: random.Random) -> Hit:
    """A node is started again with a clock that is wrong by up to two hours, until its next start."""
    node = scene.fleet.some(draw)
    node.skew_s = draw.choice([-1, 1]) * draw.randrange(60, 7200)
    return tell(node, signal.SIGTERM)


@fault(2)
def clock_step(scene: Scene, draw: random.Random) -> Hit:
    """The server's clock is set, by more than a node may be silent; what is put aside waits for so much longer."""
    if not scene.server.set_clock(draw.choice([-1, 1]) * draw.uniform(5, CLOCK_STEP_MAX_S)):
        raise NoTarget
    return Hit()


@fault(4)
def two_leaders(scene: Scene, draw: random.Random) -> Hit:
    """The leader's row is reset: another node is elected while the old one still trusts its own election."""
    with connected(scene) as connection:
        connection.execute("update awa.leader set node_id = null")
    return Hit()


@fault(2, dear=True)
def leader_pause(scene: Scene, draw: random.Random) -> Hit:
    """SIGSTOP of the leader until another one is elected, and SIGCONT: both lead."""
    with connected(scene) as connection:
        row = connection.execute("select n.pid from awa.leader l join awa.node n on n.id = l.node_id").fetchone()
    leader = next((n for n in scene.fleet.nodes if row and (found := n.supervisor()) and found.pid == row[0]), None)
    supervisor = leader.supervisor() if leader else None
    if leader is None or supervisor is None:
        raise NoTarget
    pause([supervisor], scene.config.leader_s * draw.uniform(2.1, 2.6))
    return Hit(leader.index)
