"""The report: what was injected, what became of the jobs, how long recovery took, and what held."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.chaos.recovery import Times, percentile
from tests.chaos.storm import Outcome


def report(outcome: Outcome) -> str:
    """Return the report as text."""
    return "\n".join(_lines(outcome))


def _lines(outcome: Outcome) -> Iterator[str]:
    config = outcome.config
    yield (
        f"chaos: seed {config.seed}, {config.seconds:g} s, {config.nodes} nodes of {config.workers} workers, "
        f"heartbeat {config.heartbeat_s:g} s"
    )
    yield ""
    counts = Counter(each.kind for each in outcome.injected)
    yield f"{len(outcome.injected):>8}  faults injected"
    for kind, count in counts.most_common():
        yield f"{count:>8}    {kind.replace('_', ' ')}"
    yield ""
    for name, figure in outcome.figures.items():
        yield f"{figure:>8}  {name}"
    yield f"{outcome.lost_answers:>8}  transactions of the producer that failed, or whose answer was lost"
    yield ""
    yield f"{'recovery, ms':<56}{'undisturbed: n':>16}{'p50':>8}{'p99':>8}{'all: n':>10}{'p50':>8}{'p99':>8}"
    for times in outcome.times:
        yield _row(times)
    yield ""
    for verdict in outcome.verdicts:
        yield str(verdict)
    yield ""
    broken = sum(not verdict.holds for verdict in outcome.verdicts)
    yield "everything holds" if outcome.passed else f"{broken} of {len(outcome.verdicts)} invariants are violated"


def _row(times: Times) -> str:
    cells = ""
    for values, width in ((times.undisturbed, 16), (times.all, 10)):
        cells += f"{len(values):>{width}}"
        cells += "".join(
            f"{percentile(values, share) * 1000:>8.0f}" if values else f"{'-':>8}" for share in (0.5, 0.99)
        )
    return f"{times.what:<56}{cells}"
