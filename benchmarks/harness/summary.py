"""The summary page, written from files of results: nothing in it is typed by hand but what it means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.harness.charts import draw_all
from benchmarks.harness.report import Figure, Result, goal, load, shown, verdict
from benchmarks.harness.rivals.specs import ALL

ROOT = Path(__file__).resolve().parents[2]
PAGE = "docs/explanation/performance.md"
CHARTS = "performance"
"""The folder of the charts, beside the page."""

INTRODUCTION = """# Performance

What Awa costs, measured beside other queues in the same run, on the same server, with the same jobs. `make bench`
does it again on your machine; [its page](../../benchmarks/README.md) says how each figure is taken. Compare ratios,
and only those of one run: how fast a machine is changes from hour to hour, and what it changes meets all contenders
alike.

## The rules

* **Same durability for all.** `fsync` and `synchronous_commit` are on, or the harness refuses to measure; Redis runs
  with `appendfsync always`.
* **Every job is verified to have run.** Each handler marks its job's number in an array that all processes share, at
  the same cost for all. A job that is missing, or has run twice, makes its contender fail.
* **Finished means finished.** The clock stops when the queue's own tables say that nothing is left to do.
* **The warm-up is not counted:** not the start of processes, and not the first tenth of the jobs.
* **In turns.** Each round has every contender once; only the one whose turn it is has workers. Three rounds or more;
  the median is quoted, with the least and the greatest.
* **Awa as it comes, the others at their best.** Awa runs with its defaults. Of the others several settings are tried
  before the first round, and the fastest takes part.
* **Failed is failed.** A contender that does not do what it is asked to has no figure, not a figure of zero.
"""


def write_page(sources: Sequence[Path], page: Path = ROOT / PAGE) -> None:
    """Write the page and its charts from files of results. Of a scenario that is in several the last one counts.

    Runs at length (`--full`) stand beside the short ones of their scenario, and in the table of goals after them: what
    only minutes show must not be hidden by rounds of seconds.
    """
    runs = {source: load(source) for source in sources}
    at_length = _of(runs, is_full=True)
    results = _of(runs, is_full=False) or at_length
    long = {
        f"{name}, at length": _named(result) for name, result in at_length.items() if result is not results.get(name)
    }
    charts = draw_all(results, page.parent / CHARTS)
    parts = [INTRODUCTION, _runs(runs), _goals({**results, **long}), _contenders(results)]
    parts += [_scenario(name, result) for name, result in {**results, **long}.items()]
    parts.append("## Charts\n\n" + "\n".join(f"![{path.stem}]({CHARTS}/{path.name})" for path in charts) + "\n")
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join(parts))


def _of(runs: Mapping[Path, tuple[Mapping[str, Result], Mapping[str, Any]]], *, is_full: bool) -> dict[str, Result]:
    """Return the last result of each scenario among the runs at length, or among the others."""
    return {
        name: result
        for measured, about in runs.values()
        if bool(about["asked"].get("full")) is is_full
        for name, result in measured.items()
    }


def _named(result: Result) -> Result:
    """Return a result whose figures say that they are of a run at length."""
    return replace(result, figures=[replace(figure, name=f"{figure.name}, at length") for figure in result.figures])


def _runs(runs: Mapping[Path, tuple[Mapping[str, Result], Mapping[str, Any]]]) -> str:
    *_, (_, last) = runs.values()
    machine, settings = last["machine"], last["settings"]
    chosen = ", ".join(f"`{name} = {value}`" for name, value in settings.items() if name != "server_version")
    rows = ["| scenarios | rounds | rates measured for about | load before | raw values |", "|---|---|---|---|---|"]
    for source, (results, about) in runs.items():
        asked, load_before = about["asked"], about["machine"]["load_before"][0]
        rows.append(
            f"| {', '.join(results)} | {asked['rounds']} | {_length(asked)} | {load_before:g} "
            f"| `benchmarks/results/{source.name}` |"
        )
    table = "\n".join(rows)
    return f"""## The runs

{machine["cpus"]} cores ({machine["processor"]}), {machine["memory_gb"]} GB of memory, {machine["system"]},
Python {machine["python"]}, PostgreSQL {settings["server_version"]}, {chosen}. Bodies of 250 bytes.

{table}
"""


def _length(asked: Mapping[str, Any]) -> str:
    return "minutes" if asked.get("full") else f"{asked['seconds']:g} s"


def _goals(results: Mapping[str, Result]) -> str:
    figures = [figure for result in results.values() for figure in result.figures if figure.goal is not None]
    return "## Goals\n\n" + _table(figures)


def _contenders(results: Mapping[str, Result]) -> str:
    told: dict[str, dict[str, Any]] = {}
    for result in results.values():
        for name, about in result.contenders.items():
            told.setdefault(name, {}).update({key: value for key, value in about.items() if value})
    if not told:
        return ""
    rows = ["| contender | version | best with | per job, compared with Awa |", "|---|---|---|---|"]
    for name, about in told.items():
        variant = ", ".join(f"{key} {value}" for key, value in about.get("variant", {}).items())
        said = about.get("differs", "")
        if "failed" in about:
            said = f"**failed**: {_plain(about['failed'])}. {said}"
        rows.append(f"| {name} | {_version(name, about.get('versions', {}))} | {variant} | {said} |")
    return "## Contenders\n\n" + "\n".join(rows) + "\n"


def _version(name: str, versions: Mapping[str, str]) -> str:
    """Return the version of the package a contender is pinned to, as it was found installed."""
    if not (name in ALL and ALL[name].requirements):
        return ""
    package = ALL[name].requirements[0].partition("==")[0].partition("[")[0]
    return f"{package} {versions.get(package, '')}".strip()


def _scenario(name: str, result: Result) -> str:
    return f"## {name.capitalize()}\n\n{_table(result.figures)}"


def _table(figures: Iterable[Figure]) -> str:
    rows = ["| figure | median | least … greatest | goal | |", "|---|---|---|---|---|"]
    for figure in figures:
        if figure.median is None:
            rows.append(f"| {figure.name} | failed | | {goal(figure)} | {_plain(verdict(figure))} |")
        else:
            spread = f"{shown(min(figure.values))} … {shown(max(figure.values))}"
            middle = f"{shown(figure.median)} {figure.unit}"
            rows.append(f"| {figure.name} | {middle} | {spread} | {goal(figure)} | {verdict(figure)} |")
    return "\n".join(rows) + "\n"


def _plain(text: str) -> str:
    """Return text that cannot break out of the cell of a table."""
    return " ".join(text.replace("|", "/").split())[:200]
