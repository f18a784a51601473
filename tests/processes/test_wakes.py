"""Wake-ups between processes, over eventfds and over pipes."""

from __future__ import annotations

import os
import signal
import time

import pytest

from awa.processes.wakes import Channel, Wakes

pytestmark = pytest.mark.processes


@pytest.fixture(params=["eventfd", "pipe"], autouse=True)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "pipe":
        monkeypatch.delattr(os, "eventfd", raising=False)
    elif not hasattr(os, "eventfd"):
        pytest.skip("this system has no eventfd")
    return str(request.param)


@pytest.fixture
def channel() -> Channel:
    return Channel.create()


def test_ringing_before_the_wait_is_not_lost(channel: Channel) -> None:
    channel.ring()
    assert channel.wait(0)
    assert not channel.wait(0)
    channel.close()


def test_ringing_often_is_ringing_once_and_never_blocks(channel: Channel) -> None:
    for _ in range(100_000):
        channel.ring()
    assert channel.drain()
    assert not channel.drain()
    channel.close()


def test_the_wait_ends_when_the_time_is_up(channel: Channel) -> None:
    before = time.monotonic()
    assert not channel.wait(0.0205)
    assert time.monotonic() - before >= 0.0205
    assert not channel.wait(-1)
    channel.close()


def test_the_wait_looks_at_others_too_and_leaves_them_alone(channel: Channel) -> None:
    other = Channel.create()
    other.ring()
    assert channel.wait(None, [other])
    assert other.drain()
    for each in (channel, other):
        each.close()


def test_the_two_sides_find_each_other_after_a_fork() -> None:
    wakes = Wakes.create(3)
    pid = os.fork()
    if pid == 0:
        mine = wakes.keep_only(1)
        heard = mine.wait(10)
        mine.wake_supervisor()
        os._exit(0 if heard else 1)
    wakes.wake(1)
    assert wakes.supervisor.wait(10)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert not wakes.workers[0].drain()
    wakes.close()


def test_a_program_finds_inherited_channels(kind: str) -> None:
    wakes = Wakes.create(2)
    assert len(wakes.fds()) == (3 if kind == "eventfd" else 6) + 4  # and a pipe each for their stacks
    same = Wakes.inherit(wakes.ends())
    same.wake(1)
    assert wakes.workers[1].drain()
    os.write(same.stacks[1].writer, b"in f")
    assert wakes.stacks[1].look()
    assert wakes.stacks[1].text == "in f"
    assert not any(os.get_inheritable(fd) for fd in same.fds())
    wakes.close()


def test_a_worker_can_wake_itself_from_a_signal_handler() -> None:
    wakes = Wakes.create(1)
    mine = wakes.keep_only(0)
    previous = signal.signal(signal.SIGALRM, lambda number, frame: mine.wake_self())
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    assert mine.wait(10)
    signal.signal(signal.SIGALRM, previous)
    wakes.close()
