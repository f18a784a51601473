"""The result of a demo, in words or as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from awa.demo.checks import Check
from awa.demo.facts import Facts
from awa.demo.kill import Kill


@dataclass(frozen=True)
class DemoReport:
    """Everything a demo has to say in the end."""

    facts: Facts
    processes: int
    kill: Kill | None
    kills: int
    checks: list[Check]
    total_s: float
    """Time from the command to the report, with starting and stopping everything."""

    @property
    def holds(self) -> bool:
        """Return whether every check does."""
        return all(check.holds for check in self.checks)

    def text(self) -> str:
        """Return the report as lines for a terminal."""
        parts = [_work(self.facts), _functions(self.facts), _speed(self), _kill(self), _balance(self)]
        return "\n\n".join("\n".join(lines) for lines in parts)

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain data."""
        facts, kill = self.facts, self.kill
        return {
            **asdict(facts),
            "jobs_per_s": facts.jobs_per_s,
            "jobs_lost": facts.jobs_lost,
            "rows_written_twice": facts.rows_twice,
            "processes": self.processes,
            "total_s": self.total_s,
            "kills": self.kills,
            "kill": _as_data(kill) if kill else None,
            "checks": [{"promise": check.promise, "holds": check.holds, "found": check.found} for check in self.checks],
            "holds": self.holds,
        }


def _as_data(kill: Kill) -> dict[str, Any]:
    return {
        "pid": kill.victim.pid,
        "job": kill.job,
        "rescued_s": kill.rescued_s,
        "replaced_s": kill.replaced_s,
        "resumed_s": kill.resumed_s,
        "recovery_s": kill.recovery_s,
    }


def _work(facts: Facts) -> list[str]:
    packed = facts.packed_bytes / facts.bytes if facts.bytes else 0
    return [
        f"files      {facts.rows:>9,}   {facts.lines:,} lines, {facts.bytes / 1e6:.1f} MB, "
        f"{packed:.0%} of that compressed; {facts.unparsable} not parsable",
        f"functions  {facts.functions:>9,}   the ten most complex:",
    ]


def _functions(facts: Facts) -> list[str]:
    lines = [f"  {'complexity':>10}  {'lines':>5}  function"]
    lines += [f"  {f.complexity:>10}  {f.lines:>5}  {f.name}  ({f.place})" for f in facts.most_complex]
    return lines


def _speed(report: DemoReport) -> list[str]:
    facts = report.facts
    return [
        f"{facts.jobs_per_s:,.0f} jobs/s: {facts.completed:,} in {facts.elapsed_s:.1f} s by {report.processes} workers",
        f"{facts.cpu_s:.1f} CPU seconds in jobs; {report.total_s:.1f} s in all, with starting and stopping everything",
    ]


def _kill(report: DemoReport) -> list[str]:
    kill = report.kill
    if kill is None or kill.recovery_s is None:
        return ["no worker was killed in the middle of a job, or nothing took its place"]
    missed = "" if report.kills == 1 else f" ({report.kills - 1} more died between two jobs)"
    return [
        f"worker {kill.victim.pid} was killed with SIGKILL in job {kill.job}{missed}; recovery took "
        f"{kill.recovery_s * 1000:.0f} ms:",
        f"  after {_ms(kill.rescued_s)} its jobs were back in the queue",
        f"  after {_ms(kill.replaced_s)} another worker had taken its place",
        f"  after {_ms(kill.resumed_s)} the job it died in was running again",
    ]


def _balance(report: DemoReport) -> list[str]:
    facts = report.facts
    lines = [f"jobs lost: {facts.jobs_lost}", f"rows written twice: {facts.rows_twice}{_refused(facts)}"]
    lines += [f"FAILED: {check.promise}: {check.found}" for check in report.checks if not check.holds]
    if report.holds:
        lines.append(f"all {len(report.checks)} checks hold")
    return lines


def _refused(facts: Facts) -> str:
    if not facts.refused_writes:
        return ""
    return f" ({facts.refused_writes} found its row there: it was killed after committing it)"


def _ms(seconds: float | None) -> str:
    return "?" if seconds is None else f"{seconds * 1000:4.0f} ms"
