"""What Awa says meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from awa.telemetry import events as telemetry_events


@pytest.fixture
def events() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """What was emitted."""
    heard: list[tuple[str, dict[str, Any]]] = []
    unsubscribe = telemetry_events.subscribe(lambda event, fields: heard.append((event, fields)))
    yield heard
    unsubscribe()
