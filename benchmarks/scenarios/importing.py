"""Importing: what `import awa` adds to the start of a web process, in time and in modules.

Each import is that of a fresh interpreter, with the files in the page cache and compiled. What the same interpreter
takes without it is not in the figure. Neither click nor OpenTelemetry's SDK may be loaded by it: they belong to the
commands.
"""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median

from benchmarks.harness.plan import Plan
from benchmarks.harness.report import Figure, Result

TIMES = 15
HEAVY = ("click", "opentelemetry.sdk")
PROGRAM = """
import json, sys, time
began = time.perf_counter()
import awa
took = time.perf_counter() - began
print(json.dumps([took * 1000, [name for name in sys.modules]]))"""


def run(plan: Plan) -> Result:
    """Import many times; each round's value is the median."""
    times = min(TIMES, plan.size(TIMES))
    took, heavy = [], []
    for _ in range(plan.rounds):
        results = [_import() for _ in range(1 + times)][1:]
        took.append(median(ms for ms, _ in results))
        heavy.append(float(sum(name in HEAVY for name in results[0][1])))
    return Result(
        [
            Figure("import awa", "ms", took, 60, at_most=True),
            Figure(f"of {' and '.join(HEAVY)} imported with it", "modules", heavy, 0, at_most=True),
        ]
    )


def _import() -> tuple[float, list[str]]:
    command = [sys.executable, "-c", PROGRAM]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    ms, modules = json.loads(output)
    return ms, modules
