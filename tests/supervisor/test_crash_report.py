"""When it is said that a kind keeps killing workers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from awa.supervisor.crash_report import WINDOW_S, CrashReport
from awa.telemetry import events

QueryResult = list[tuple[str, int]]


@pytest.fixture
def said() -> Iterator[QueryResult]:
    said: QueryResult = []

    def listen(event: str, fields: dict[str, object]) -> None:
        if event == events.RESCUE_CRASH_LOOP:
            assert fields["window_s"] == WINDOW_S
            assert "awa queue deaths" in str(fields["hint"])
            said.append((str(fields["kind"]), int(str(fields["deaths"]))))

    end = events.subscribe(listen)
    yield said
    end()


def test_at_the_third_and_at_each_doubling(said: QueryResult) -> None:
    crash_report = CrashReport()
    for deaths in range(1, 50):
        crash_report.note("resize", deaths)
    assert said == [("resize", deaths) for deaths in (3, 6, 12, 24, 48)]


def test_each_kind_for_itself(said: QueryResult) -> None:
    crash_report = CrashReport()
    for deaths in (1, 2, 3):
        crash_report.note("resize", deaths)
        crash_report.note("report", deaths)
    assert said == [("resize", 3), ("report", 3)]


def test_deaths_elsewhere_are_counted_and_none_is_missed_by_it(said: QueryResult) -> None:
    crash_report = CrashReport()
    for deaths in (2, 5, 7, 8, 13):
        crash_report.note("resize", deaths)
    assert said == [("resize", 5), ("resize", 7), ("resize", 13)]


def test_after_a_quiet_time_it_is_said_anew(said: QueryResult) -> None:
    crash_report = CrashReport()
    for deaths in (3, 4, 1, 2, 3):
        crash_report.note("resize", deaths)
    assert said == [("resize", 3), ("resize", 3)]


def test_after_a_restart_it_is_said_anew(said: QueryResult) -> None:
    CrashReport().note("resize", 17)
    CrashReport().note("resize", 18)
    assert said == [("resize", 17), ("resize", 18)]
