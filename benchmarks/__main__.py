"""`python -m benchmarks [SCENARIO …]`: run scenarios, print a table, keep raw values, draw charts."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path

from awa.database.open import connect
from benchmarks.harness.charts import draw_all
from benchmarks.harness.plan import Plan
from benchmarks.harness.report import RESULTS, Result, load, save, table
from benchmarks.harness.rivals.specs import RIVALS
from benchmarks.harness.server import facts, fresh_server
from benchmarks.harness.summary import PAGE, write_page
from benchmarks.scenarios import SCENARIOS

BESIDE = ("awa-pg", "pgqueuer", "skip locked")
"""The rivals that take part unless others are asked for: the original, the fastest in Python, and the queue that people
write by hand. The others are slower by a factor of ten and more, and take most of the time."""


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for. Returns 0; with `--check`, 1 when a goal was not reached."""
    asked = _arguments(arguments)
    if asked.summary:
        write_page(asked.summary)
        print(f"{PAGE} is written from {', '.join(source.name for source in asked.summary)}")
        return 0
    for number in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C, so that everything that was started is ended
        signal.signal(number, _interrupt)
    plan = Plan(asked.rounds, asked.jobs, asked.seconds, asked.full, tuple(asked.rivals))
    results: dict[str, Result] = {}
    try:
        for name in asked.scenario or SCENARIOS:
            print(f"{name}: {plan.rounds} rounds …", flush=True)
            began = time.monotonic()
            results[name] = SCENARIOS[name](plan)
            took = f"{name} took {time.monotonic() - began:.0f} s"
            print(f"\n{table(results[name].figures)}\n{took}\n", flush=True)
    finally:
        if results:
            _keep(results, plan, asked.results)
    figures = [figure for result in results.values() for figure in result.figures]
    missed = [figure.name for figure in figures if figure.reached is False]
    with_goal = sum(figure.goal is not None for figure in figures)
    print(f"{with_goal - len(missed)} of {with_goal} goals reached" + "".join(f"\n  not: {name}" for name in missed))
    if missed and not asked.check:
        print("Everything was measured. A goal is missed by figures, not by an error; --check makes it one.")
    return 1 if missed and asked.check else 0


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def _keep(results: dict[str, Result], plan: Plan, folder: Path) -> None:
    """Write the raw values and the charts."""
    with fresh_server() as server, connect(server.dsn, role="benchmark") as connection:
        path = save(results, facts(connection), asdict(plan), folder)
    charts = draw_all(results, path.with_suffix(""))
    print(f"raw values: {path}\ncharts: {len(charts)} in {path.with_suffix('')}", flush=True)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    rivals = [spec.name for spec in RIVALS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("scenario", nargs="*", choices=[*SCENARIOS, []], help="which to run (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="how often everybody has a turn; medians are quoted")
    parser.add_argument("--jobs", type=int, default=None, help="how many jobs, instead of the scenario's own number")
    parser.add_argument("--seconds", type=float, default=Plan.seconds, help="how long a rate is measured, about")
    parser.add_argument(
        "--full",
        action="store_true",
        help="large sizes, long runs whatever --seconds says, and more of the rivals: takes hours",
    )
    parser.add_argument(
        "--rivals",
        type=_names,
        default=list(BESIDE),
        metavar="A,B",
        help=f"who takes part beside Awa, of {', '.join(rivals)}; all, or none (default: {', '.join(BESIDE)})",
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 when a goal is not reached")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder for raw values and charts")
    parser.add_argument(
        "--summary",
        type=_results_file,
        nargs="+",
        metavar="FILE",
        help=f"write {PAGE} from files of results, of each scenario the last; measure nothing",
    )
    return parser.parse_args(arguments)


def _results_file(text: str) -> Path:
    path = Path(text)
    try:
        load(path)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise argparse.ArgumentTypeError(f"{text} is no file of results: {type(error).__name__}: {error}") from None
    return path


def _names(text: str) -> list[str]:
    known = [spec.name for spec in RIVALS]
    if text == "all":
        return known
    names = [name.strip() for name in text.split(",") if name.strip() not in ("", "none")]
    if unknown := set(names) - set(known):
        offer = f"known: {', '.join(known)}; or all, or none"
        raise argparse.ArgumentTypeError(f"no such rival: {', '.join(sorted(unknown))}; {offer}")
    return names


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted; everything that was started has been stopped and removed")
