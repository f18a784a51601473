"""Figures, comparisons, charts and the page: what is measured is told, and what failed is told as failed."""

from __future__ import annotations

import signal
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import __main__ as command
from benchmarks.__main__ import BESIDE, _arguments, main
from benchmarks.harness.charts import draw_all, slug
from benchmarks.harness.comparison import FASTEST_PYTHON, compare
from benchmarks.harness.report import Figure, Result, Series, load, percentile, save, table
from benchmarks.harness.rivals.specs import RIVALS
from benchmarks.harness.summary import write_page
from benchmarks.harness.svg import ticks

SETTINGS = {"server_version": "18.0", "fsync": "on", "synchronous_commit": "on"}
ASKED = {"rounds": 2, "seconds": 2.0}
MEASURED = {"awa": [100.0, 120.0], "awa-pg": [10.0, 10.0], "pgqueuer": [30.0, 20.0], "procrastinate": [5.0, 5.0]}


def compared() -> dict[str, Figure]:
    goals = {"awa-pg": 10.0, FASTEST_PYTHON: 5.0, "celery": 2.0}
    figures = compare("drain", "jobs/s", MEASURED, {"celery": "no | redis"}, goals)
    return {figure.name: figure for figure in figures}


def test_a_figure_is_its_median_and_knows_its_goal() -> None:
    assert Figure("rate", "jobs/s", [1, 9, 5], goal=5).reached is True
    assert Figure("rate", "jobs/s", [1, 9, 4], goal=5).reached is False
    assert Figure("wait", "ms", [1, 9, 5], goal=4, at_most=True).reached is False
    assert Figure("rate", "jobs/s", [1]).reached is None


def test_ratios_are_taken_round_by_round() -> None:
    figures = compared()
    assert figures["drain: awa ÷ awa-pg"].values == [10.0, 12.0]
    assert figures["drain: awa ÷ awa-pg"].reached is True


def test_the_fastest_in_python_has_the_goal_for_it() -> None:
    figures = compared()
    fastest = figures["drain: awa ÷ pgqueuer (the fastest library in Python)"]
    assert (fastest.goal, fastest.reached) == (5.0, False)
    assert figures["drain: awa ÷ procrastinate"].goal is None


def test_who_has_failed_has_no_figure_and_misses_its_goal() -> None:
    figures = compared()
    failed = figures["drain: celery"]
    assert (failed.values, failed.median, failed.error) == ([], None, "no | redis")
    assert figures["drain: awa ÷ celery"].reached is False
    (row,) = [line for line in table(list(figures.values())).splitlines() if line.startswith("drain: celery")]
    assert "failed" in row
    assert "no | redis" in row


def test_less_can_be_better() -> None:
    goals = {"awa-pg": 1 / 3}
    figures = compare("p99", "ms", {"awa": [2.0], "awa-pg": [9.0]}, {}, goals, less_is_better=True)
    assert figures[-1].reached is True


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 51), (99, 100), (100, 100)])
def test_percentiles(percent: int, expected: int) -> None:
    assert percentile(list(range(100, 0, -1)), percent) == expected


def everything() -> dict[str, Result]:
    line = Series("rate over time", "awa & others", "s", "jobs/s", [(0.0, 1.0), (1.0, 2.0)])
    sizes = Series("by backlog", "awa", "jobs", "ms", [(1e4, 1.0), (1e7, 1.1)])
    about = {
        "awa": {"versions": {"awa-supervisor": "0"}, "variant": {}, "differs": ""},
        "awa-pg": {"versions": {"awa-pg": "0.6.9"}, "variant": {"max_workers": 64}, "differs": "in Rust"},
        "celery": {"differs": "Redis", "failed": "no | redis"},
    }
    return {"drain": Result(list(compared().values()), [line, sizes], about)}


def test_results_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    results, about = load(save(everything(), SETTINGS, ASKED, tmp_path))
    assert results == everything()
    assert about["settings"] == SETTINGS


def test_charts_are_svg_and_show_who_failed(tmp_path: Path) -> None:
    charts = {path.name: path for path in draw_all(everything(), tmp_path)}
    assert sorted(charts) == ["by-backlog.svg", "drain.svg", "rate-over-time.svg"]
    for path in charts.values():
        ElementTree.fromstring(path.read_text())
    assert "failed: no | redis" in charts["drain.svg"].read_text()


def test_the_page_has_versions_settings_and_what_differs(tmp_path: Path) -> None:
    path = save(everything(), SETTINGS, ASKED, tmp_path)
    page = tmp_path / "performance.md"
    write_page([path], page)
    text = page.read_text()
    for expected in ("awa-pg 0.6.9", "max_workers 64", "in Rust", "**failed**: no / redis", "`fsync = on`", path.name):
        assert expected in text
    assert (tmp_path / "performance" / f"{slug('drain')}.svg").exists()


def test_the_page_tells_of_several_runs_and_of_each_scenario_the_last(tmp_path: Path) -> None:
    first = save({"old": everything()["drain"], "drain": everything()["drain"]}, SETTINGS, ASKED, tmp_path / "a")
    later = everything()
    later["drain"].figures[0] = Figure("measured again", "jobs/s", [7.0])
    last = save({"drain": later["drain"]}, SETTINGS, {**ASKED, "rounds": 9}, tmp_path / "b")
    write_page([first, last], page := tmp_path / "performance.md")
    text = page.read_text()
    assert text.count("\n## Drain") == 1
    assert "measured again" in text.partition("\n## Drain")[2]
    assert "measured again" not in text.partition("\n## Old")[2].partition("\n## ")[0]
    assert "| old, drain | 2 |" in text
    assert "| drain | 9 |" in text


@pytest.mark.parametrize("text", [None, "no JSON", "[]", "{}", '{"scenarios": 1}'])
def test_what_is_no_file_of_results_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    path = tmp_path / "results.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SystemExit):
        main(["--summary", str(path)])
    assert "is no file of results" in capsys.readouterr().err


def test_ticks_are_round_and_few() -> None:
    assert ticks(0) == [0]
    for most in (0.3, 7, 1_234, 98_765_432):
        found = ticks(most)
        assert 3 <= len(found) <= 6
        assert found[-1] <= most


def test_who_takes_part_is_asked_for_by_name() -> None:
    everybody = [spec.name for spec in RIVALS]
    assert _arguments([]).rivals == list(BESIDE)
    assert _arguments(["--rivals", "all"]).rivals == everybody
    assert _arguments(["--rivals", "none"]).rivals == []
    assert _arguments(["--rivals", "awa-pg,rq"]).rivals == ["awa-pg", "rq"]
    assert set(BESIDE) <= set(everybody)


def test_a_run_at_length_stands_beside_the_short_one(tmp_path: Path) -> None:
    short = save({"drain": everything()["drain"]}, SETTINGS, ASKED, tmp_path / "a")
    length = everything()["drain"]
    length.figures = [Figure("rate with a pinned horizon", "×", [0.9], 0.95)]
    long = save({"drain": length}, SETTINGS, {**ASKED, "full": True}, tmp_path / "b")
    for sources in ([short, long], [long, short]):
        write_page(sources, page := tmp_path / "performance.md")
        text = page.read_text()
        goals = text.partition("\n## Goals")[2].partition("\n## ")[0]
        assert "| rate with a pinned horizon, at length | 0.9 × | 0.9 … 0.9 | ≥ 0.95 × | NOT REACHED |" in goals
        assert text.count("\n## Drain\n") == text.count("\n## Drain, at length\n") == 1
        assert "| drain | 2 | minutes |" in text
    write_page([long], page)
    assert ", at length" not in page.read_text()


@pytest.mark.parametrize(("given", "code"), [([], 0), (["--check"], 1)])
def test_a_goal_that_is_missed_is_no_error_unless_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: list[str], code: int
) -> None:
    missed = Result([Figure("rate", "jobs/s", [1.0], 2.0), Figure("other", "jobs/s", [3.0], 2.0)])
    monkeypatch.setitem(command.SCENARIOS, "drain", lambda plan: missed)
    monkeypatch.setattr(command, "_keep", lambda *_: None)
    handlers = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    try:
        assert main(["drain", *given]) == code
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGHUP), handlers, strict=True):
            signal.signal(number, handler)
    said = capsys.readouterr().out
    assert "1 of 2 goals reached\n  not: rate" in said
    assert ("not by an error" in said) is (not given)
