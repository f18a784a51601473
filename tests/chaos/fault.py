"""What a fault is, where it is written down, and what it has to work with."""

from __future__ import annotations

import contextlib
import random
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import psutil
import psycopg
from psycopg.abc import Query

from tests.chaos.config import Config
from tests.chaos.fleet import Fleet
from tests.chaos.node import Node
from tests.chaos.server import Server

MEND_S: Final = 30.0


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

    def note_cancelled(self, jobs: Iterable[int]) -> None:
        """Record jobs whose cancellation the server has confirmed."""
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


# What faults are made of


@contextlib.contextmanager
def connected(scene: Scene, *, superuser: bool = False) -> Iterator[psycopg.Connection[Any]]:
    """A connection; no target if the server is away."""
    try:
        with scene.server.connect(superuser=superuser) as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise NoTarget from error


def mend(scene: Scene, statements: Iterable[Query], *, superuser: bool = False) -> None:
    """Run statements over a new connection: the server may have crashed, and is back in a moment."""
    left = list(statements)
    deadline = time.monotonic() + MEND_S
    while left:
        try:
            with connected(scene, superuser=superuser) as connection:
                while left:
                    connection.execute(left[0])
                    del left[0]
        except (NoTarget, psycopg.OperationalError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def tell(node: Node, number: signal.Signals) -> Hit:
    """Send a supervisor a signal."""
    if not node.send(number):
        raise NoTarget
    return Hit(node.index)


def pause(processes: list[psutil.Process], seconds: float) -> None:
    """SIGSTOP, and SIGCONT after a while."""
    if not processes:
        raise NoTarget
    send(processes, signal.SIGSTOP)
    time.sleep(seconds)
    send(processes, signal.SIGCONT)


def send(processes: list[psutil.Process], number: signal.Signals) -> None:
    """Send processes a signal, as far as they still are those they were."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)  # psutil looks whether the id is still that of this process
