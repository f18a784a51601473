"""Lines of the log keep their form, whatever the application's records hold."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from awa.telemetry import log

FORGED = "\n2026-01-01 00:00:00.000 INFO    supervisor[1] forged"


class Mute:
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.fixture
def record() -> logging.LogRecord:
    """A record as the application makes it."""
    return logging.LogRecord("shop.tasks", logging.WARNING, __file__, 1, "said", (), None)


def as_text(record: logging.LogRecord) -> str:
    return log._Text("worker 1").format(record)


def as_json(record: logging.LogRecord) -> dict[str, Any]:
    line = log._Json("worker 1").format(record)
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line)
    return found


@pytest.mark.parametrize("where", ["logger", "level", "name of a field", "value of a field"])
def test_no_part_of_a_record_begins_a_line_of_its_own(record: logging.LogRecord, where: str) -> None:
    match where:
        case "logger":
            record.name = f"shop{FORGED}"
        case "level":
            record.levelname = f"LOUD{FORGED}"
        case "name of a field":
            vars(record)[f"pages{FORGED}"] = 3
        case _:
            vars(record)["pages"] = FORGED
    assert "\n" not in as_text(record)
    assert "\\n2026-01-01" in as_text(record)


def test_fields_of_the_application_take_no_place_of_awa_s(record: logging.LogRecord) -> None:
    vars(record).update(time="never", level="critical", process="worker 9", logger="other", message="other", pages=3)
    line = as_json(record)
    assert (line["level"], line["logger"], line["message"]) == ("warning", "shop.tasks", "said")
    assert (line["process"], line["time"] == "never") == ("worker 1", False)
    assert (line["extra_level"], line["extra_time"], line["pages"]) == ("critical", "never", 3)


def test_a_value_without_a_text_costs_no_line(record: logging.LogRecord) -> None:
    vars(record).update(mute=Mute(), pages=3)
    assert as_json(record)["mute"] == "<Mute>"
    assert as_json(record)["pages"] == 3
    assert "mute=<Mute> pages=3" in as_text(record)
    vars(record)["half"] = "\ud800"  # the whole line is text, then
    assert (as_json(record)["mute"], as_json(record)["pages"]) == ("<Mute>", "3")
