"""All contenders on one server, taking turns: each round every one of them, so that what else the machine does meets
all. Only the one whose turn it is has worker processes.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import psycopg

from awa.database.open import connect
from benchmarks.harness.contender import Contender, Failed
from benchmarks.harness.environments import NotAvailable
from benchmarks.harness.plan import Plan
from benchmarks.harness.processor import parent, used_s
from benchmarks.harness.redis_server import is_present, redis_server
from benchmarks.harness.rivals.marks import Marks
from benchmarks.harness.rivals.specs import ALL, OURS, RIVALS, Spec
from benchmarks.harness.server import another_database, fresh_server
from benchmarks.harness.stats import Counters, counters

T = TypeVar("T")

PROCESSES = 2
CAPACITY = 2_000_000
"""Room for the marks of so many jobs."""
STALL_S = 30.0
"""A contender that runs no job for so long has failed."""
LOOK_S = 0.05
NEARLY = 0.9
LOOK_AT_END_S = 0.005
"""How often to look whether all jobs have run: seldom until this part of them has."""
LOOKS_MIN = 40
"""Where processor time is read as they run, look about so many times, if they take less than as many long looks."""
WARM_UP = 0.1
"""The part of the jobs that starts before the clock does."""
WARM_UP_JOBS = 50
PIECE = 1_000
PROBE = 1_000
STEP = 5
GROWTH = 1.15
LONG_S = 6.0
PROBE_MAX = 150_000
"""A rate is sized up with so many jobs, then with five times as many, until it grows no more by that factor (who takes
long to get going must not be judged by that) or the next drain would take that long, or have more jobs than enough. Of
the variants of one contender only the faster half goes on each time (sequential halving: Karnin, Koren and Somekh,
Almost optimal exploration in multi-armed bandits, 2013)."""

_sized_up: dict[str, tuple[dict[str, Any], float]] = {}
"""The best variant of each contender and its rate, as found earlier in this run."""


class Drained(NamedTuple):
    """What a drain took."""

    rate: float
    """Jobs a second, from the start of the first job after the warm-up until all are finished in the queue's tables."""
    cost: Counters
    """What insert and drain cost the server, all jobs together."""
    jobs: int
    starts: list[int]
    """When each job started, in nanoseconds."""
    overhead: float | None = None
    """The processor time that the contender and the server used while all workers were busy, as a part of what the jobs
    took for themselves, less those: 0.05 is 5 %. None for jobs that take none, and where the kernel does not tell."""


class Field:
    """The contenders of one scenario."""

    def __init__(
        self, contenders: Sequence[Contender], marks: Marks, admin: psycopg.Connection[Any], plan: Plan
    ) -> None:
        self.contenders = list(contenders)
        self.failed: dict[str, str] = {}
        self.marks = marks
        self.plan = plan
        self._admin = admin

    def turns(
        self, measure: Callable[[Contender], T], contenders: Sequence[Contender] | None = None
    ) -> dict[str, list[T]]:
        """Measure every contender in each round; those that fail are out, and what they measured before is void."""
        measured: dict[str, list[T]] = {}
        for _ in range(self.plan.rounds):
            for contender in self.contenders if contenders is None else contenders:
                if contender.name not in self.failed:
                    self._attempt(contender, lambda it: measured.setdefault(it.name, []).append(measure(it)))
        return {name: values for name, values in measured.items() if name not in self.failed}

    def each(self, do: Callable[[Contender], Any]) -> None:
        """Have every contender do something once."""
        for contender in self.contenders:
            if contender.name not in self.failed:
                self._attempt(contender, do)

    def _attempt(self, contender: Contender, do: Callable[[Contender], Any]) -> None:
        try:
            do(contender)
        except Failed as failure:
            if contender.spec is OURS:
                raise
            print(f"  {contender.name} has failed: {failure}", flush=True)
            self.failed[contender.name] = str(failure)
            contender.kill()

    def about(self) -> dict[str, dict[str, Any]]:
        """Return who took part: versions, settings, what differs, and why one failed."""
        told: dict[str, dict[str, Any]] = {
            it.name: {"versions": it.versions, "variant": it.variant, "differs": it.spec.differs}
            for it in self.contenders
        }
        for name, error in self.failed.items():
            told.setdefault(name, {"differs": ALL[name].differs})["failed"] = error
        return told

    # Measurements

    def size_up(self, contender: Contender) -> None:
        """Find the best of a contender's variants, and its rate. A tiny run takes the first one, at any rate."""
        if self.plan.jobs is not None and self.plan.jobs <= PROBE:
            contender.rate = float(self.plan.jobs)
            return
        if contender.name in _sized_up:
            contender.variant, contender.rate = _sized_up[contender.name]
            return
        rates = self._probe(contender)
        best = max(rates, key=lambda at: rates[at])
        contender.variant, contender.rate = contender.spec.variants[best], rates[best]
        _sized_up[contender.name] = contender.variant, rates[best]
        if len(rates) > 1:
            print(f"  {contender.name}: best with {contender.variant} of {_shown(contender.spec, rates)}", flush=True)

    def _probe(self, contender: Contender) -> dict[int, float]:
        """Return the rate with each variant, of the best ones where more jobs do not make it better."""
        variants = contender.spec.variants
        rates = dict.fromkeys(range(len(variants)), 0.0)
        left, jobs = list(rates), PROBE
        while left:
            grown = {at: self.drain(contender, jobs, variant=variants[at]).rate for at in left}
            left = [at for at in left if grown[at] > rates[at] * GROWTH]
            rates.update({at: max(rates[at], rate) for at, rate in grown.items()})
            faster = sorted(grown, key=lambda at: -rates[at])[: (len(grown) + 1) // 2]
            jobs *= STEP
            left = [at for at in left if at in faster and jobs / rates[at] < LONG_S and jobs <= PROBE_MAX]
        return rates

    def jobs_for(self, contender: Contender, seconds: float) -> int:
        """Return how many jobs this contender drains in so many seconds, about."""
        if contender.rate is None:
            self.size_up(contender)
        assert contender.rate is not None
        jobs = max(100, int(contender.rate * seconds))
        return min(jobs, self.plan.jobs or CAPACITY, CAPACITY)

    def drain(
        self,
        contender: Contender,
        jobs: int,
        *,
        processes: int = PROCESSES,
        burn_ns: int = 0,
        variant: dict[str, Any] | None = None,
    ) -> Drained:
        """Fill a backlog, then let workers empty it."""
        self.marks.clear(jobs)
        before = counters(self._admin, contender.dsn)
        contender.ask("bulk", first=0, count=jobs)
        with self.workers(contender, processes=processes, burn_ns=burn_ns, variant=variant):
            overhead = self._overhead(contender, jobs, burn_ns / 1e9) if burn_ns else None
            ended = self.await_all(contender, jobs)
        after = counters(self._admin, contender.dsn)
        return Drained(self.rate(jobs, ended), after.since(before), jobs, self.marks.starts(jobs), overhead)

    def produce_and_drain(self, contender: Contender, jobs: int) -> float:
        """Have the workers that are there run jobs while they are inserted, a thousand at a time, as fast as can be;
        return the jobs a second from one end to the other."""
        self.marks.clear(jobs)
        contender.ask("produce", first=0, count=jobs, piece=min(PIECE, jobs), rate=None)
        return self.rate(jobs, self.await_all(contender, jobs))

    def _overhead(self, contender: Contender, jobs: int, job_s: float) -> float | None:
        """Return the overhead from the end of the warm-up until nearly all jobs have run: while all workers are busy.
        None where the kernel does not tell."""
        row = self._admin.execute("select pg_backend_pid()").fetchone()
        try:
            roots = {contender.pid, parent(row[0] if row else 0)}
        except OSError:
            return None
        used, done = [], []
        for part in (WARM_UP, NEARLY):
            self._await_part(jobs, part, min(LOOK_S, jobs * job_s / LOOKS_MIN))
            used.append(used_s(roots))
            done.append(self.marks.done(jobs))
        if used[0] is None or used[1] is None or done[0] == done[1]:
            return None
        return (used[1] - used[0]) / ((done[1] - done[0]) * job_s) - 1

    def _await_part(self, jobs: int, part: float, look_s: float) -> None:
        """Wait until this part of the jobs has run, or none has for long: who stalls is found out by `await_all`."""
        done, moved = 0, time.monotonic()
        while done < jobs * part and time.monotonic() - moved < STALL_S:
            time.sleep(look_s)
            now = self.marks.done(jobs)
            if now > done:
                done, moved = now, time.monotonic()

    @contextmanager
    def workers(
        self,
        contender: Contender,
        *,
        processes: int = PROCESSES,
        burn_ns: int = 0,
        variant: dict[str, Any] | None = None,
    ) -> Iterator[None]:
        """Worker processes of one contender, while the block lasts."""
        variant = variant or contender.variant
        if not burn_ns:
            processes = variant.get("processes", processes)
        contender.ask("start", processes=processes, burn_ns=burn_ns, variant=variant)
        try:
            yield
        finally:
            contender.ask("stop")

    def warm_up(self, contender: Contender) -> None:
        """Have the workers that have just been started run some jobs, before anything is measured."""
        self.marks.clear(WARM_UP_JOBS)
        contender.ask("bulk", first=0, count=WARM_UP_JOBS)
        self.await_all(contender, WARM_UP_JOBS)

    def await_all(self, contender: Contender, jobs: int) -> int:
        """Wait until jobs 0 to `jobs` have run and are finished in the queue's tables too; return when that was.

        Raises Failed when one has not run, or one has run twice.
        """
        done, moved = 0, time.monotonic()
        while done < jobs:
            # Whoever looks takes a core from those that are being measured, so look often only when it is time to.
            time.sleep(LOOK_S if done < jobs * NEARLY else LOOK_AT_END_S)
            now = self.marks.done(jobs)
            if now > done:
                done, moved = now, time.monotonic()
            elif time.monotonic() - moved > STALL_S:
                raise Failed(
                    f"{done:,} of {jobs:,} jobs have run, and none for {STALL_S:g} s: {contender.last_words()}"
                )
            elif time.monotonic() - moved > 1:
                contender.insist_on_life()
        ended = self._await_settled(contender)
        if (runs := self.marks.total(jobs)) != jobs:
            raise Failed(f"{jobs:,} jobs have run {runs:,} times")
        return ended

    def rate(self, jobs: int, ended_ns: int) -> float:
        """Return jobs a second, the warm-up not counted."""
        skipped = int(jobs * WARM_UP)
        began_ns = sorted(self.marks.starts(jobs))[skipped]
        return (jobs - skipped) / (ended_ns - began_ns) * 1e9

    def _await_settled(self, contender: Contender) -> int:
        """Return when the question was asked to which the answer was none: how long the answer takes is not counted."""
        deadline = time.monotonic() + STALL_S
        asked_ns = time.monotonic_ns()
        while (left := contender.outstanding()) > 0:
            if time.monotonic() > deadline:
                raise Failed(f"all jobs have run, and {left:,} are not finished {STALL_S:g} s later")
            time.sleep(0.005)
            asked_ns = time.monotonic_ns()
        return asked_ns


@contextmanager
def field(plan: Plan, specs: Sequence[Spec] | None = None) -> Iterator[Field]:
    """Yield all contenders (or these) with their tables made. A rival that cannot take part is among the failed."""
    if specs is None:
        specs = (OURS, *rivals(plan))
    folder = Path(tempfile.mkdtemp(prefix="awa-bench-field-"))
    try:
        with ExitStack() as stack:
            server = stack.enter_context(fresh_server())
            admin = stack.enter_context(connect(server.superuser_dsn, role="benchmark"))
            redis = None
            if is_present() and any(spec.needs_redis for spec in specs):
                redis = stack.enter_context(redis_server(folder))
            marks = folder / "marks"
            it = Field([], Marks.create(marks, CAPACITY), admin, plan)
            for spec in specs:
                try:
                    if spec.needs_redis and redis is None:
                        raise NotAvailable("there is no redis-server on this machine")
                    dsn = another_database(server, spec.module)
                    contender = Contender(spec, dsn, redis, marks, folder)
                except (NotAvailable, Failed) as reason:
                    if spec is OURS:
                        raise
                    it.failed[spec.name] = str(reason)
                else:
                    stack.callback(contender.close)
                    it.contenders.append(contender)
            it.each(lambda contender: contender.ask("prepare"))
            yield it
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def rivals(plan: Plan) -> list[Spec]:
    """Return the rivals that were asked for."""
    return [spec for spec in RIVALS if spec.name in plan.rivals]


def _shown(spec: Spec, rates: dict[int, float]) -> str:
    return ", ".join(f"{spec.variants[at]}: {rate:,.0f}/s" for at, rate in rates.items())
