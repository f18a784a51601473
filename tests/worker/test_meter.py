"""What an attempt costs: the system is not asked for the shortest, and nobody else pays for that."""

from __future__ import annotations

import os
import time

from awa.processes.fork_generation import generation
from awa.worker.meter import SHORT_JOBS_MAX, SHORT_US, Meter

LONG_US = 10 * SHORT_US
BURNT_S = 0.03


def burn() -> None:
    """Use so much processor time."""
    until = time.process_time() + BURNT_S
    while time.process_time() < until:
        pass


def test_a_long_job_costs_what_the_system_says() -> None:
    meter = Meter()
    meter.begin()
    burn()
    cpu_us, peak_kb = meter.end(LONG_US)
    assert cpu_us >= BURNT_S * 1e6 * 0.9
    assert peak_kb > 0


def test_a_short_one_is_taken_to_have_computed_all_the_while() -> None:
    meter = Meter()
    meter.begin()
    burn()
    assert meter.end(SHORT_US - 1)[0] == SHORT_US - 1


def test_what_short_ones_leave_over_is_charged_to_nobody_after_a_while() -> None:
    meter = Meter()
    for _ in range(SHORT_JOBS_MAX):
        meter.begin()
        burn()
        meter.end(1)
    meter.begin()
    assert meter.end(LONG_US)[0] < BURNT_S * 1e6


def test_nothing_costs_less_than_nothing() -> None:
    """They waited rather than computed."""
    meter = Meter()
    for _ in range(SHORT_JOBS_MAX - 1):
        meter.begin()
        meter.end(SHORT_US - 1)
    meter.begin()
    assert meter.end(LONG_US)[0] >= 0


def test_a_child_is_of_another_generation() -> None:
    reader, writer = os.pipe()
    before = generation()
    child = os.fork()
    if child == 0:
        os.write(writer, b"%d" % generation())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        assert int(answer.read()) == before + 1
    assert generation() == before
