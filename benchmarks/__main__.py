"""`python -m benchmarks [SCENARIO …] [--rounds N] [--jobs N]`: run scenarios, print a table, keep raw values."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from awa.database.connections import connect
from benchmarks.harness.report import Figure, save, table
from benchmarks.harness.server import facts, fresh_database
from benchmarks.scenarios import drain, inserting, inside, pickup, recovery

SCENARIOS: dict[str, tuple[Callable[[int, int], list[Figure]], int]] = {
    "drain": (drain.run, 200_000),
    "pickup": (pickup.run, 300),
    "recovery": (recovery.run, 100),
    "inserting": (inserting.run, 100_000),
    "inside": (inside.run, 2_000),
}
"""Each scenario and how many jobs it takes by default."""


def main() -> int:
    """Run what was asked for. Returns 0 when every goal was reached, 1 when one was not."""
    asked = _arguments()
    figures: list[Figure] = []
    for name in asked.scenario or SCENARIOS:
        run, jobs = SCENARIOS[name]
        print(f"{name}: {asked.rounds} rounds …", flush=True)
        figures += run(asked.rounds, asked.jobs or jobs)
    with fresh_database() as dsn, connect(dsn, role="benchmark") as connection:
        path = save(figures, facts(connection))
    print(f"\n{table(figures)}\n\nraw values: {path.relative_to(path.parents[2])}")
    return 0 if all(figure.reached is not False for figure in figures) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("scenario", nargs="*", choices=[*SCENARIOS, []], help="which to run (default: all)")
    parser.add_argument("--rounds", type=int, default=3, help="how often, each on a fresh server; medians are quoted")
    parser.add_argument("--jobs", type=int, default=None, help="how many jobs, instead of the scenario's own number")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
