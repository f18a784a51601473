"""Signals become a queue, whatever the main thread is doing."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from signal import Signals

import pytest

from awa.processes.signals import SignalQueue

pytestmark = pytest.mark.processes


@pytest.fixture
def queue() -> Iterator[SignalQueue]:
    made = SignalQueue([Signals.SIGUSR1, Signals.SIGUSR2, Signals.SIGHUP])
    yield made
    made.close()


def test_signals_are_taken_in_order_and_once(queue: SignalQueue) -> None:
    for number in (Signals.SIGUSR2, Signals.SIGHUP, Signals.SIGUSR2):
        signal.raise_signal(number)
    assert queue.take() == [Signals.SIGUSR2, Signals.SIGHUP, Signals.SIGUSR2]
    assert queue.take() == []


def test_a_signal_wakes_the_one_who_waits(queue: SignalQueue) -> None:
    pid = os.fork()
    if pid == 0:
        os.kill(os.getppid(), Signals.SIGUSR1)
        os._exit(0)
    assert select.select([queue], [], [], 10)[0] == [queue]
    assert queue.take() == [Signals.SIGUSR1]
    os.waitpid(pid, 0)


def test_signals_of_others_are_left_to_them(queue: SignalQueue) -> None:
    heard = []
    previous = signal.signal(Signals.SIGALRM, lambda number, frame: heard.append(number))
    signal.raise_signal(Signals.SIGALRM)
    signal.raise_signal(Signals.SIGUSR1)
    assert queue.take() == [Signals.SIGUSR1]
    assert heard == [Signals.SIGALRM]
    signal.signal(Signals.SIGALRM, previous)


def test_a_flood_of_signals_does_no_harm(queue: SignalQueue) -> None:
    for _ in range(100_000):
        signal.raise_signal(Signals.SIGUSR1)
    taken = queue.take()
    assert set(taken) == {Signals.SIGUSR1}


def test_closing_puts_back_what_was_there() -> None:
    heard = []
    previous = signal.signal(Signals.SIGUSR1, lambda number, frame: heard.append(number))
    SignalQueue([Signals.SIGUSR1]).close()
    signal.raise_signal(Signals.SIGUSR1)
    assert heard == [Signals.SIGUSR1]
    assert signal.set_wakeup_fd(-1) == -1
    signal.signal(Signals.SIGUSR1, previous)


def test_a_child_that_abandons_the_queue_dies_of_signals_again() -> None:
    queue = SignalQueue([Signals.SIGUSR1])
    pid = os.fork()
    if pid == 0:
        queue.abandon()
        signal.raise_signal(Signals.SIGUSR1)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == Signals.SIGUSR1
    assert queue.take() == []
    queue.close()
