"""Jobs whose bodies are not found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
import pytest

from awa.database.open import connect
from awa.engine import claim
from awa.engine.claim import StoredJob
from awa.task.registry import Registry
from awa.worker.inline import work
from tests.engine.helpers import KIND, add_sealed, state

pytestmark = pytest.mark.postgres


def test_a_body_that_one_look_missed_is_not_written_off(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(database, role="test") as db:
        jobs = add_sealed(db, 5)
    look, looks = claim.bodies, list[list[int]]()

    def short_sighted(connection: psycopg.Connection[Any], ids: Sequence[int]) -> dict[int, StoredJob]:
        looks.append(list(ids))
        found = look(connection, ids)
        return found if len(looks) > 1 else {}

    monkeypatch.setattr(claim, "bodies", short_sighted)
    registry = Registry()
    registry.add(lambda job: None, None, KIND, "default")
    assert work(database, registry, None) == 5
    with connect(database, role="test") as db:
        assert {state(db, job) for job in jobs} == {"completed"}
    assert looks[0] == looks[1]
