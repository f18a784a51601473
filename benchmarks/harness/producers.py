"""Many connections that do the same thing over and over, each for itself, from a few processes."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from contextlib import ExitStack
from threading import Thread
from typing import Any

import psycopg

PROCESSES = 4
START_S = 2.0
"""Time for every connection to be made and warm before any of them is counted."""

Step = Callable[[], Any]
Prepare = Callable[[psycopg.Connection[Any]], Step]
"""Returns what is to be done over one connection, once a call."""


def rate(dsn: str, prepare: Prepare, connections: int, seconds: float) -> float:
    """Return how often a second so many connections together did what `prepare` makes for each of them."""
    context = multiprocessing.get_context("fork")  # so that `prepare` may be any function
    counts = context.SimpleQueue()
    begin = time.monotonic() + START_S
    producers = [
        context.Process(target=_produce, args=(dsn, prepare, connections // PROCESSES, begin, seconds, counts))
        for _ in range(PROCESSES)
    ]
    for producer in producers:
        producer.start()
    for producer in producers:
        producer.join()
    if any(producer.exitcode for producer in producers):
        raise RuntimeError("a process that was to insert jobs has failed; what it raised is above")
    return float(sum(counts.get() for _ in producers)) / seconds


def _produce(dsn: str, prepare: Prepare, connections: int, begin: float, seconds: float, counts: Any) -> None:
    done = [0] * connections

    def run(at: int, step: Step) -> None:
        while time.monotonic() < begin:
            step()
        while time.monotonic() < begin + seconds:
            step()
            done[at] += 1

    with ExitStack() as ending:
        steps = [
            prepare(ending.enter_context(psycopg.connect(dsn, autocommit=True, prepare_threshold=0)))
            for _ in range(connections)
        ]
        threads = [Thread(target=run, args=(at, step)) for at, step in enumerate(steps)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if not all(done):
        raise RuntimeError("a connection did nothing at all: it failed, and what it raised is above")
    counts.put(sum(done))
