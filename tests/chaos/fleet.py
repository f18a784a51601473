"""The fleet: all nodes, and somebody who starts again what has ended."""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from pathlib import Path

import psutil

from tests.chaos.config import Config
from tests.chaos.node import Node

LOOK_S = 0.05
RESTART_S = 0.2
"""A node that has ended comes back after this long, as under a service manager."""
END_S = 60.0


class Fleet:
    """Several nodes on one machine. A node that ends is started again until `end`."""

    def __init__(self, dsn: str, directory: Path, config: Config) -> None:
        self.logs = directory
        self.nodes = [Node(index, dsn, directory / f"node{index}", config) for index in range(config.nodes)]
        self._ending = False
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def start(self) -> None:
        """Start every node, and keep them up from now on."""
        for node in self.nodes:
            node.start()
        self._keeper.start()

    def some(self, draw: random.Random) -> Node:
        """One of the nodes."""
        return draw.choice(self.nodes)

    def calm(self) -> None:
        """Take back what a fault may have left behind: stopped processes, proxies that misbehave."""
        for node in self.nodes:
            node.proxy.resume()
            for process in node.family():
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(signal.SIGCONT)

    def end(self) -> list[str]:
        """Have every node end in order; return the names of those that would not."""
        self._ending = True
        self._keeper.join(10)
        for node in self.nodes:
            node.send(signal.SIGTERM)
        deadline = time.monotonic() + END_S
        while time.monotonic() < deadline and not all(node.ended() for node in self.nodes):
            time.sleep(LOOK_S)
        return [node.directory.name for node in self.nodes if not node.ended()]

    def leftovers(self) -> list[psutil.Process]:
        """Every process of any node that lives, grandchildren included."""
        return [process for node in self.nodes for process in node.family()]

    def close(self) -> None:
        """Kill whatever is left."""
        self._ending = True
        if self._keeper.is_alive():
            self._keeper.join(10)
        for node in self.nodes:
            node.close()

    def _keep(self) -> None:
        while not self._ending:
            for node in self.nodes:
                if node.ended():
                    time.sleep(RESTART_S)
                    node.start()
            time.sleep(LOOK_S)
