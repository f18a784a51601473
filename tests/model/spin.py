"""Runs SPIN: makes a checker of a variant, compiles it, lets it look at every state."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Final, NamedTuple

from tests.model.variants import Variant

MODEL: Final = Path(__file__).parent / "awa.pml"
MEMORY_MB: Final = 4_000
DEPTH_MAX: Final = 100_000
_COMPILE: Final = ("-w", "-DSAFETY", "-DNOFAIR", f"-DMEMLIM={MEMORY_MB}", "-o", "pan", "pan.c")
_STEP: Final = re.compile(r".*proc +(\d+ \(\w+).*/(\w+\.pml:\d+) \(state \d+\)\t\[(.* = .*|assert.*)\]")
_SCRATCH: Final = re.compile(r"\b(i|j|n|set|places)_ =|= [ijn]_\b")


class Outcome(NamedTuple):
    """What came of a variant."""

    violated: str | None
    """The assertion that failed; None: every state was seen, and none did."""
    states: int
    seconds: float
    trail: str
    """How it came to that, step by step; empty when nothing failed."""

    def is_as_expected(self, variant: Variant) -> bool:
        """Whether what must hold does, and what is broken was found out for the right reason."""
        return self.violated == variant.violates


class ModelError(Exception):
    """The model could not be checked."""


def missing() -> str | None:
    """Return which program is not there; None: all are."""
    if shutil.which("spin") is None:
        return "there is no spin (on Debian and Ubuntu: apt-get install spin)"
    if _compiler() is None:
        return "there is no C compiler (on Debian and Ubuntu: apt-get install gcc)"
    return None


def check(variant: Variant, place: Path, seconds: float) -> Outcome:
    """Check a variant in the directory `place`, for at most `seconds`. Raises `ModelError`."""
    began = time.monotonic()
    compiler = _compiler()
    assert compiler
    _run(["spin", *_defines(variant), "-a", str(MODEL)], place, seconds)
    level = "-O2" if variant.is_large else "-O0"  # optimizing takes three seconds, and as long as these run
    _run([compiler, level, *_COMPILE], place, seconds)
    # -E: a process that waits for ever is no mistake in itself; the judge in awa.pml says what is.
    said = _run(["./pan", "-E", f"-m{DEPTH_MAX}"], place, seconds)
    violated = _violated(said)
    if violated is None and ("errors: 0" not in said or "Search not completed" in said or "max search depth" in said):
        raise ModelError(f"{variant.name}: the search did not come to its end:\n{said}")
    states = re.search(r"([\d.e+]+) states, stored", said)
    trail = _trail(variant, place) if violated else ""
    return Outcome(violated, int(float(states[1])) if states else 0, time.monotonic() - began, trail)


def _violated(said: str) -> str | None:
    found = re.search(r"assertion violated +(.*?) \(at depth", said)
    return found and found[1].strip("!() ")


def _trail(variant: Variant, place: Path) -> str:
    """Play the trail back: where each process went, without the scratch work."""
    replay = ["spin", *_defines(variant), "-t", "-p", "-k", "awa.pml.trail", str(MODEL)]
    said = subprocess.run(replay, check=False, cwd=place, capture_output=True, text=True).stdout
    steps = [_STEP.match(line) for line in said.splitlines()]
    return "\n".join(f"{step[1]:<14}{step[2]:<20}{step[3]}" for step in steps if step and not _SCRATCH.search(step[3]))


def _defines(variant: Variant) -> list[str]:
    return [f"-D{define}" for define in variant.defines]


def _compiler() -> str | None:
    return next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)


def _run(command: list[str], place: Path, seconds: float) -> str:
    try:
        done = subprocess.run(command, check=False, cwd=place, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise ModelError(f"{command[0]} took longer than {seconds:.0f} s: {' '.join(command)}") from None
    said = done.stdout + done.stderr
    if done.returncode or re.search(r"^spin: .*Error", said, re.MULTILINE):
        raise ModelError(f"{' '.join(command)} ended with {done.returncode}:\n{said[-2000:]}")
    return said
