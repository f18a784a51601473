"""Jobs that wait for a worker that is not there, and what the leader says of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from awa.engine import nodes, seal
from awa.supervisor.duties.report import ReportQueues
from awa.telemetry import events
from tests.fixtures.supervisor import Shop

QueryResult = list[dict[str, Any]]


@pytest.fixture
def said() -> Iterator[QueryResult]:
    heard: QueryResult = []
    unsubscribe = events.subscribe(
        lambda event, fields: heard.append(fields) if event == events.LEAD_UNKNOWN_KIND else None
    )
    yield heard
    unsubscribe()


def test_what_is_missing_is_named_once_and_again_after_it_was_cured(shop: Shop, said: QueryResult) -> None:
    node = nodes.register_node(shop.db, "here", ["note"], ["default"])
    shop.insert("note")
    shop.insert_many([("note", {}), ("note", {})], queue="emails")
    shop.insert("strange")
    seal.seal_all(shop.db)
    report = ReportQueues()
    report.run_once(shop.db)
    report.run_once(shop.db)
    assert [(each["kind"], each["queue"], each["jobs"]) for each in said] == [
        ("note", "emails", 2),
        ("strange", "default", 1),
    ]
    assert "works on this queue" in said[0]["hint"]
    assert "knows this kind" in said[1]["hint"]
    nodes.update_node(shop.db, node, ["note", "strange"], ["default", "emails"])
    report.run_once(shop.db)
    assert len(said) == 2
    nodes.update_node(shop.db, node, ["note"], ["default", "emails"])
    report.run_once(shop.db)
    assert [each["kind"] for each in said[2:]] == ["strange"]
