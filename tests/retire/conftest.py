"""The connection tests of retire work on, small segments in it, and what the engine said meanwhile."""

from collections.abc import Iterator
from typing import Any

import pytest

from awa.database.open import connect
from awa.engine import leaving
from awa.telemetry import events as telemetry_events
from tests.engine.helpers import Connection, small_segments

SEGMENT_IDS = 10


@pytest.fixture
def db(database: str) -> Iterator[Connection]:
    """A connection as supervisors open it, to a database with three segments of ten ids."""
    connection = connect(database, role="test")
    small_segments(connection, SEGMENT_IDS, 3)
    yield connection
    connection.close()


@pytest.fixture
def events() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """The events emitted during the test."""
    heard: list[tuple[str, dict[str, Any]]] = []
    unsubscribe = telemetry_events.subscribe(lambda event, fields: heard.append((event, fields)))
    yield heard
    unsubscribe()


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices of two jobs, looks at three."""
    monkeypatch.setattr(leaving, "SLICE_JOBS", 2)
    monkeypatch.setattr(leaving, "LOOK_JOBS", 3)
    monkeypatch.setattr(leaving, "KEYS_MAX", 2)
