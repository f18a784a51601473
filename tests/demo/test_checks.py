"""The checks refuse what is not as promised, and the report says so."""

from dataclasses import replace
from datetime import datetime, timezone

import pytest

from awa.demo import checks
from awa.demo.facts import Facts
from awa.demo.kill import Kill, Victim
from awa.demo.report import DemoReport

GOOD = Facts(
    files=10,
    rows=10,
    paths=10,
    bytes=1000,
    packed_bytes=250,
    lines=100,
    unparsable=1,
    functions=5,
    completed=10,
    ended=10,
    refused_writes=0,
    cpu_s=1.5,
    elapsed_s=2.0,
    most_complex=[],
    wrong_digests=[],
)
KILL = Kill(Victim(7, 4711, 3), datetime.now(timezone.utc), 0.0, True, 3, 0.01, 0.05, 0.03)


def failed(facts: Facts) -> list[str]:
    return [check.promise for check in checks.of_the_work(facts) if not check.holds]


def test_good_facts_hold() -> None:
    assert failed(GOOD) == []


@pytest.mark.parametrize(
    ("wrong", "promise"),
    [
        ({"rows": 9, "paths": 9}, "each file has exactly one row"),
        ({"rows": 11}, "each file has exactly one row"),
        ({"completed": 9}, "each job completed"),
        ({"wrong_digests": ["a.py"]}, "each digest is that of the file"),
    ],
)
def test_each_wrong_fact_is_caught(wrong: dict[str, object], promise: str) -> None:
    assert failed(replace(GOOD, **wrong)) == [promise]  # type: ignore[arg-type]


def test_what_stays_behind_is_caught() -> None:
    assert all(check.holds for check in checks.of_the_processes(0, []))
    assert not checks.of_the_processes(1, [])[0].holds
    assert not checks.of_the_processes(0, [99])[1].holds


def test_recovery_is_over_when_both_the_worker_and_the_job_are_back() -> None:
    assert KILL.recovery_s == 0.05
    assert replace(KILL, resumed_s=None).recovery_s is None


def test_a_kill_between_two_jobs_does_not_count() -> None:
    assert replace(KILL, job=None).has_missed
    assert not replace(KILL, job=None, is_over=False).has_missed


def test_the_report_tells_of_lost_jobs_and_failed_checks() -> None:
    bad = replace(GOOD, rows=8, paths=8, completed=8, ended=8)
    report = DemoReport(bad, 2, KILL, 1, checks.of_the_work(bad), 5.0)
    assert not report.holds
    assert "jobs lost: 2" in report.text()
    assert "FAILED: each job completed: 8 of 10 did" in report.text()
    assert report.as_json()["jobs_lost"] == 2


def test_the_report_of_a_good_run() -> None:
    report = DemoReport(replace(GOOD, refused_writes=1), 2, KILL, 2, checks.of_the_work(GOOD), 5.0)
    text = report.text()
    assert report.holds
    assert "jobs lost: 0" in text
    assert "rows written twice: 0 (1 found its row there" in text
    assert "recovery took 50 ms" in text
    assert "1 more died between two jobs" in text
    assert "all 3 checks hold" in text
