"""The application: `tests.chaos.app:client`. Handlers that leave rows, and misbehave in the ways jobs do.

Most are done at least once: rows of `chaos.effect` say what they did. `once` leaves its row in the transaction that
completes it. What the database refuses to do now is tried again soon; a job that fails is one that was meant to.
"""

from __future__ import annotations

import functools
import os
import random
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from typing import Any

import psycopg

import awa
from awa.errors import DatabaseError, JobCancelled, JobTimeout, LeaseLost, OutcomeUnknown, TerminalError
from awa.job.model import Job
from tests.chaos.server import SESSION
from tests.fixtures.boardwriter import write_randomly

TROUBLE = (psycopg.OperationalError, psycopg.InterfaceError, DatabaseError, OutcomeUnknown)
INTERRUPTIONS = (JobTimeout, JobCancelled, LeaseLost)
GLUTTON_BYTES = 48 * 1024 * 1024

Handler = Callable[[Job], Any]

client = awa.Client(max_connections=2)
_connections: dict[int, psycopg.Connection[Any]] = {}


def task(**options: Any) -> Callable[[Handler], Handler]:
    """Register a handler that is tried again soon when the database is in trouble."""

    def register(handler: Handler) -> Handler:
        @functools.wraps(handler)
        def patient(job: Job) -> Any:
            try:
                return handler(job)
            except INTERRUPTIONS:
                _forget()  # in the middle of who knows what
                raise
            except TROUBLE:
                _forget()
                return awa.RetryAfter(random.uniform(0.1, 0.5))

        return client.task(kind=handler.__name__, **options)(patient)

    return register


def effect(job: Job, what: str) -> None:
    """Leave a row, committed at once."""
    _connection().execute(
        "insert into chaos.effect (n, job, attempt, pid, what) values (%s, %s, %s, %s, %s)",
        [job.args["n"], job.id, job.attempt, os.getpid(), what],
    )


@task()
def quick(job: Job) -> None:
    effect(job, "ran")


@task(raise_on_cancel=True)
def work(job: Job) -> None:
    """Take as long as it is told to."""
    effect(job, "began")
    time.sleep(job.args["ms"] / 1000)
    effect(job, "ran")


@task(backoff=lambda attempt: 0.2 * attempt)
def flaky(job: Job) -> str:
    """Fail as often as it is told to."""
    effect(job, "began")
    if job.attempt <= job.args["times"]:
        raise ValueError("as it was told to")
    effect(job, "ran")
    return "in the end"


@task()
def sleepy(job: Job) -> Any:
    """Ask for a later time, the first time: that attempt does not count."""
    effect(job, "began")
    began = _connection().execute("select count(*) from chaos.effect where job = %s", [job.id]).fetchone()
    if began == (1,):
        return awa.Snooze(0.2)
    return effect(job, "ran")


@task()
def doomed(job: Job) -> None:
    effect(job, "began")
    raise TerminalError("as it was told to")


@task()
def parent(job: Job) -> None:
    """Insert another job, with the row that says so, in one transaction."""
    effect(job, "began")
    n = f"{job.args['n']}.{uuid.uuid4().hex[:8]}"
    with client.transaction() as tx:
        tx.execute("insert into chaos.ledger (n, kind) values ($1, 'quick')", n)
        tx.insert({"n": n}, kind="quick")
    effect(job, "ran")


@task()
def once(job: Any) -> None:
    """Leave a row in the transaction that completes this job; if told to, die before, in or after it once."""
    effect(job, "began")
    _die_if(job, "before")
    own = _connection() if job.args["own"] else None
    with job.transaction(own) as tx:
        connection = own or tx.connection
        row = [job.args["n"], job.id, job.attempt]
        connection.execute("insert into chaos.once (n, job, attempt) values (%s, %s, %s)", row)
        time.sleep(job.args["ms"] / 1000)
        _die_if(job, "inside")
    _die_if(job, "after")


@task()
def suicide(job: Job) -> None:
    """Kill its own worker, the first time."""
    effect(job, "began")
    if job.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    effect(job, "ran")


@task()
def glutton(job: Job) -> None:
    """Grow, and be killed, as by a kernel that has no memory left."""
    effect(job, "began")
    if job.attempt == 1:
        hoard = bytearray(GLUTTON_BYTES)
        hoard[::4096] = b"x" * len(hoard[::4096])
        os.kill(os.getpid(), signal.SIGKILL)
    effect(job, "ran")


@task(timeout=0.3, backoff=lambda attempt: 0.1)
def overdue(job: Job) -> None:
    """Take too long, the first time."""
    effect(job, "began")
    if job.attempt == 1:
        time.sleep(30)
    effect(job, "ran")


@task(timeout=0.3, grace=0.2)
def stubborn(job: Job) -> None:
    """Take too long, the first time, and not hear of it."""
    effect(job, "began")
    while job.attempt == 1:
        try:
            time.sleep(30)
        except JobTimeout:
            continue
    effect(job, "ran")


@task(timeout=2.0, grace=0.2, backoff=lambda attempt: 0.1)
def scribble(job: Job) -> None:
    """Write random bytes to what it can write to of the board, the first time."""
    effect(job, "began")
    if job.attempt == 1:
        write_randomly(random.Random(job.id), 0.5)
        time.sleep(30)
    effect(job, "ran")


@task()
def spawn(job: Job) -> None:
    """Start a process of its own. If the worker is killed meanwhile, this one must not stay behind."""
    effect(job, "began")
    with subprocess.Popen(["sleep", "600"]) as child:
        try:
            time.sleep(job.args["ms"] / 1000)
        finally:
            child.kill()
    effect(job, "ran")


def _die_if(job: Job, when: str) -> None:
    if job.args.get("die") == when and job.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def _connection() -> psycopg.Connection[Any]:
    """This process's connection."""
    pid = os.getpid()
    if pid not in _connections:
        _connections.clear()
        _connections[pid] = psycopg.connect(
            os.environ["DATABASE_URL"], autocommit=True, connect_timeout=5, application_name="app", options=SESSION
        )
    return _connections[pid]


def _forget() -> None:
    """Close a connection that broke, or may have."""
    connection = _connections.pop(os.getpid(), None)
    if connection is not None:
        connection.close()
