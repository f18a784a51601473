"""Wake-ups between processes, and what a worker holds of them."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

import pytest

from awa.processes.own import DescriptorsLost
from awa.processes.wakeups import Channel, Wakes

pytestmark = pytest.mark.processes


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


def test_a_program_finds_inherited_channels() -> None:
    wakes = Wakes.create(2)
    assert len(wakes.fds()) == 6 + 4  # and a pipe each for their stacks
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
    mine = wakes.keep_only(0)  # which closes all that is shared
    previous = signal.signal(signal.SIGALRM, lambda number, frame: mine.wake_self())
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    assert mine.wait(10)
    signal.signal(signal.SIGALRM, previous)
    mine.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a descriptor cannot be opened anew")
def test_a_worker_cannot_make_the_supervisors_descriptors_block() -> None:
    wakes = Wakes.create(2)
    pid = os.fork()
    if pid == 0:
        mine = wakes.keep_only(0)
        for fd in map(int, os.listdir("/dev/fd")):
            with contextlib.suppress(OSError):  # the directory that was just listed
                os.set_blocking(fd, True)
        os._exit(int(not os.get_blocking(mine.fileno())))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert not any(map(os.get_blocking, wakes.fds()))
    wakes.close()


def test_a_worker_sees_that_it_has_lost_a_descriptor() -> None:
    mine = Wakes.create(1).keep_only(0)
    mine.files.check()
    os.close(mine.stack_fd)
    with pytest.raises(DescriptorsLost, match=f"descriptor {mine.stack_fd} has been closed"):
        mine.files.check()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, mine.stack_fd)
    with pytest.raises(DescriptorsLost, match="leads to another file"):
        mine.files.check()
    mine.close()
    os.close(null)


def test_the_files_of_handlers_do_not_get_the_numbers_of_a_workers_descriptors() -> None:
    mine = Wakes.create(1).keep_only(0)
    numbers = (mine.fileno(), mine.stack_fd)
    mine.close()
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(8)]
    assert max(opened) < min(numbers)
    for fd in opened:
        os.close(fd)
