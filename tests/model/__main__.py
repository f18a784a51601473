"""`python -m tests.model`: check the model and its mistakes, print a table; exit code 1 if one is not as expected."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.model.spin import ModelError, check, missing
from tests.model.variants import VARIANTS, Variant


def main() -> int:
    """Check; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.model", description="Check the model of the queue with SPIN."
    )
    parser.add_argument("variants", nargs="*", metavar="variant", help="only these (default: all)")
    parser.add_argument("--seconds", type=float, default=600, help="how long one may take (default: 600)")
    parser.add_argument("--trail", action="store_true", help="print how each violation comes about")
    asked = parser.parse_args()
    wanted = [variant for variant in VARIANTS if not asked.variants or variant.name in asked.variants]
    if unknown := set(asked.variants) - {variant.name for variant in wanted}:
        parser.error(f"no such variant: {', '.join(sorted(unknown))}; there are {', '.join(v.name for v in VARIANTS)}")
    if why := missing():
        print(f"error: {why}", file=sys.stderr)
        return 2
    print(f"{'variant':<10}{'verdict':<22}{'states':>10}{'seconds':>9}  what")
    return max(_report(variant, asked.seconds, asked.trail) for variant in wanted)


def _report(variant: Variant, seconds: float, with_trail: bool) -> int:
    """Check one and print its line; return 1 if it is not as expected."""
    with tempfile.TemporaryDirectory() as place:
        try:
            verdict = check(variant, Path(place), seconds)
        except ModelError as error:
            print(f"{variant.name}: {error}", file=sys.stderr)
            return 1
    found = verdict.violated or "holds"
    print(f"{variant.name:<10}{found:<22}{verdict.states:>10,}{verdict.seconds:>9.1f}  {variant.what}", flush=True)
    is_right = verdict.is_as_expected(variant)
    if verdict.trail and (with_trail or not is_right):
        print(verdict.trail)
    if not is_right:
        print(f"error: {variant.name} should have come to: {variant.violates or 'holds'}", file=sys.stderr)
    return not is_right


if __name__ == "__main__":
    sys.exit(main())
