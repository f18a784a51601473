"""What all rules of the machine share: a fresh database, its connections, the model, and who acts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psycopg
from hypothesis.stateful import RuleBasedStateMachine
from psycopg.types.json import set_json_loads

from awa import embedded
from awa.engine import nodes, retire, short
from awa.telemetry import events
from tests.fixtures.postgres import TEMPLATE, _cloned
from tests.properties.agreement import check
from tests.properties.model import Model, ModelJob, Place
from tests.properties.survey import survey

SEGMENT_IDS = 16
LOCK_TIMEOUT_MS = 5
"""The machine is one thread: whoever is in the leader's way stays in it until a later step."""
STATEMENT_TIMEOUT = "-c statement_timeout=20s"
QUEUES = ("a", "b")
KINDS = ("k", "m")
T = TypeVar("T")


@dataclass
class Producer:
    """A connection that inserts, and the transaction it is in."""

    connection: psycopg.Connection[Any]
    open: bool = False
    parts: list[list[int]] = field(default_factory=lambda: [[]])
    """Ids of the jobs inserted, a list for the transaction and one for each savepoint in it."""
    taken: list[int] = field(default_factory=list)
    """Ids taken and not used yet."""

    @property
    def ids(self) -> list[int]:
        """The jobs of the whole transaction."""
        return [job_id for part in self.parts for job_id in part]

    def end(self) -> None:
        """The transaction is over."""
        self.open, self.parts, self.taken = False, [[]], []


@dataclass
class Worker:
    """A worker process as the database knows it."""

    id: int
    node: int
    order: list[int] | None = field(default_factory=list)
    """The jobs of its one lease, as claimed; None: it holds several, or parts, and the order is not obvious."""


def pick(things: Sequence[T], number: int) -> T:
    """One of the things: hypothesis draws small numbers, and shrinks them."""
    return things[number % len(things)]


class World(RuleBasedStateMachine):
    """A database, and the model of it."""

    server: embedded.Server
    """Set by the test, which knows the fixture."""

    def __init__(self) -> None:
        super().__init__()
        self.exits = ExitStack()
        with self.exits as exits:
            self._begin()
            self.exits = exits.pop_all()

    def _begin(self) -> None:
        """Make everything there is at the start."""
        self.dsn = self.exits.enter_context(contextmanager(_cloned)(self.server, TEMPLATE))
        self.model = Model()
        self.onlooker = self.connect()
        self.engine = self.connect()
        self.other_sealer = self.connect()
        self.held_seal = False
        self.floors = [0]
        self.producers = [Producer(self.connect()) for _ in range(3)]
        self.prepared: dict[str, list[int]] = {}
        self.nodes = {nodes.register_node(self.engine, f"node {number}"): 0 for number in range(2)}
        self.workers: list[Worker] = []
        self.dead: list[int] = []
        self.settled_rows = 0
        self.hire()
        self.alarms: list[tuple[str, dict[str, Any]]] = []
        self.exits.callback(events.subscribe(self._listen))
        self.exits.callback(setattr, short, "LOCK_TIMEOUT_MS", short.LOCK_TIMEOUT_MS)
        short.LOCK_TIMEOUT_MS = LOCK_TIMEOUT_MS
        # The segments a new database has are too large to see one go; ids start behind them.
        self.engine.execute("select setval('awa.job_id', (select max(end_id) - 1 from awa.segment))")
        retire.extend(self.engine, SEGMENT_IDS, 2)

    def connect(self) -> psycopg.Connection[Any]:
        """Open a connection that is closed with the world."""
        connection = psycopg.connect(self.dsn, autocommit=True, options=STATEMENT_TIMEOUT)
        set_json_loads(lambda data: data, connection)
        self.exits.callback(connection.close)
        return connection

    def hire(self) -> None:
        """Register workers until there are three, on two nodes."""
        while len(self.workers) < 3:
            if len(self.nodes) < 2:
                self.nodes[nodes.register_node(self.engine, "replacement")] = 0
            node = min(self.nodes, key=lambda node: sum(worker.node == node for worker in self.workers))
            worker = nodes.register_worker(self.engine, node)
            assert worker is not None
            self.workers.append(Worker(worker, node))

    def leased_by(self, worker: Worker) -> list[ModelJob]:
        """A worker's jobs, in the order it works through them where that is known."""
        jobs = self.model.leased_by(worker.id)
        if worker.order is not None:
            jobs.sort(key=lambda job: worker.order.index(job.id))  # type: ignore[union-attr]
        return jobs

    @property
    def uncommitted(self) -> list[int]:
        """Ids that may still appear: taken by a transaction which has not ended."""
        ids = [job_id for producer in self.producers for job_id in (*producer.ids, *producer.taken)]
        return ids + [job_id for ids in self.prepared.values() for job_id in ids]

    def check_invariants(self, *_: object, **__: object) -> None:
        """Called by hypothesis after every step. (An `@invariant` would do, but doubles the lines of a failure.)"""
        self.database_agrees()

    def database_agrees(self) -> None:
        """What is must be what ought to be."""
        check(self.model, survey(self.onlooker), self.uncommitted)
        assert not self.alarms, f"the engine raised an alarm: {self.alarms}"

    def teardown(self) -> None:
        """Let everything end: every committed job must come to exactly one end."""
        with self.exits:
            self.finish()

    def finish(self) -> None:
        """Come to an end; the rules that know how override this."""

    def _listen(self, event: str, fields: dict[str, Any]) -> None:
        if event in (events.RETIRE_REFUSED, events.SEAL_RESTORED):
            self.alarms.append((event, fields))

    def places(self, *places: Place) -> list[ModelJob]:
        """The jobs at these places, by id."""
        return self.model.at(*places)
