"""Which forkserver is loaded when: an application that does not finish loading."""

from __future__ import annotations

from typing import Any, cast

import pytest

from awa.processes.forkserver import ForkServer
from awa.supervisor import servers
from awa.supervisor.servers import LONG_LOAD_S, Servers
from awa.telemetry import events as telemetry_events


class Stub:
    """A forkserver that does nothing."""

    pid = 4711

    def __init__(self) -> None:
        self.stopped = False

    def stop(self, timeout_s: float = 5.0) -> list[Any]:
        self.stopped = True
        return []

    def hangs(self) -> str | None:
        return None


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(servers, "monotonic", clock)
    return clock


def test_a_load_that_hangs_is_told_of_once_and_given_up_for_another(clock: Clock) -> None:
    started: list[Stub] = []

    def start() -> ForkServer:
        started.append(Stub())
        return cast(ForkServer, started[-1])

    events: list[tuple[str, str]] = []
    unsubscribe = telemetry_events.subscribe(lambda event, fields: events.append((event, str(fields))))
    try:
        old = Stub()
        those = Servers(cast(ForkServer, old), start)
        those.reload()
        clock.now += LONG_LOAD_S - 1
        those.reload()  # it may be done any moment, and then comes another
        those.tend(lambda server: True)
        assert len(started) == 1
        assert not events
        clock.now += 1
        those.tend(lambda server: True)
        those.tend(lambda server: True)
        ((event, text),) = events
        assert event == telemetry_events.SUPERVISOR_WARNING
        assert "loading for 30 s" in text
        assert "the old version goes on" in text
        those.reload()
        assert started[0].stopped
        assert len(started) == 2
        assert those.all() == [old, started[1]]
        those.ready(cast(ForkServer, started[1]))
        assert those.current is started[1]
        assert len(started) == 2
    finally:
        unsubscribe()
