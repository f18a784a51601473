"""Every message of the product has cause and remedy, and every claim of one has a test."""

from __future__ import annotations

import re
from pathlib import Path

from docs.generate import messages
from docs.generate.remedies import CLAIMS, EVENTS, REMEDIES

ROOT = Path(__file__).parents[2]
WHERE = "add to docs/generate/remedies.py, then run python -m docs.generate:"


def test_every_message_has_cause_and_remedy() -> None:
    found = messages.without_remedy()
    assert not found, f"{WHERE} a Remedy in REMEDIES for\n" + "\n".join(found)
    assert all(each.cause and each.remedy for each in REMEDIES)


def test_every_alarming_event_has_a_remedy() -> None:
    found = [event for event in messages.alarming() if event not in EVENTS]
    assert not found, f"{WHERE} what to do about {', '.join(found)} in EVENTS"


def test_every_claim_has_a_test_that_looks_into_the_database() -> None:
    found = messages.unproven()
    assert not found, f"{WHERE} a test that provokes it, in CLAIMS, for\n" + "\n".join(found)
    for part, test in CLAIMS.items():
        path, _, name = test.partition("::")
        source = (ROOT / path).read_text()
        assert not name or re.search(rf"^def {name}\(", source, re.MULTILINE), f"{test}, which proves {part!r}"
