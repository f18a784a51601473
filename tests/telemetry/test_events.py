"""Events reach every subscriber, and no subscriber can hurt the emitter."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from awa.telemetry import events as telemetry_events

Seen = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def seen() -> Iterator[Seen]:
    events: Seen = []
    unsubscribe = telemetry_events.subscribe(lambda event, fields: events.append((event, fields)))
    yield events
    unsubscribe()


def test_an_event_arrives_with_its_fields(seen: Seen) -> None:
    telemetry_events.emit(telemetry_events.SETTLE_JOBS, worker=1, jobs=3)
    assert seen == [("settle.jobs", {"worker": 1, "jobs": 3})]


def test_nothing_arrives_after_unsubscribing_and_doing_so_twice_is_harmless() -> None:
    events: Seen = []
    unsubscribe = telemetry_events.subscribe(lambda event, fields: events.append((event, fields)))
    unsubscribe()
    unsubscribe()
    telemetry_events.emit(telemetry_events.RUN_FINISHED)
    assert events == []


def test_a_subscriber_that_fails_is_logged_and_the_others_still_hear(
    seen: Seen, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: str, fields: dict[str, Any]) -> None:
        raise RuntimeError("exporter is down")

    first = telemetry_events.subscribe(broken)
    second = telemetry_events.subscribe(lambda event, fields: seen.append(("last", {})))
    try:
        with caplog.at_level(logging.ERROR, "awa.telemetry"):
            telemetry_events.emit(telemetry_events.SETTLE_JOBS, count=1)
    finally:
        first()
        second()
    assert seen == [("settle.jobs", {"count": 1}), ("last", {})]
    assert "failed on event 'settle.jobs'" in caplog.text
    assert "exporter is down" in caplog.text


def test_names_are_a_verb_and_a_noun_and_match_their_constants() -> None:
    names = {name: value for name, value in vars(telemetry_events).items() if name.isupper()}
    assert names
    assert {name: value.upper().replace(".", "_") for name, value in names.items()} == {name: name for name in names}
