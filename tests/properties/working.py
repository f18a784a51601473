"""Rules of sealers and workers: seal, claim, settle, release, and every way to lose a worker."""

from __future__ import annotations

import time

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from awa.database.statements import statement
from awa.engine import claim, nodes, rescue, seal, settle
from awa.job.attempt import Settlement
from awa.job.model import JobState
from tests.properties.model import ModelJob, Place
from tests.properties.world import KINDS, QUEUES, Worker, World, pick

HOUR_US = 3_600_000_000
OUTCOMES = (
    JobState.Completed,
    JobState.Completed,
    JobState.Retryable,
    JobState.Failed,
    JobState.Cancelled,
    JobState.Scheduled,
)

numbers = st.integers(0, 7)
workers = st.integers(0, 2)
outcomes = st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=8)


def settlement(job_id: int, outcome: JobState, *, delay_us: int = -1) -> Settlement:
    """One outcome as a worker sends it."""
    now = time.time_ns() // 1000
    payload = b'{"ok": true}' if outcome is JobState.Completed else b'{"error": "E", "type": "E", "attempt": 1}'
    return Settlement(job_id, int(outcome), now - 1000, now, 900, 1024, delay_us, payload)


class Working(World):
    """What sealers and workers do."""

    # ------------------------------------------------------------------ seal

    @rule(
        steps=st.integers(1, 4),
        jobs_max=st.integers(1, 6),
        batch_max=st.integers(1, 5),
        force=st.booleans(),
        number=numbers,
    )
    def seal(self, steps: int, jobs_max: int, batch_max: int, force: bool, number: int) -> None:
        """Some steps; where a worker remembers the floor from is anybody's guess."""
        for _ in range(steps):
            self._seal_step(pick(self.floors, number), jobs_max, batch_max, force)

    def _seal_step(self, floor: int, jobs_max: int, batch_max: int, force: bool) -> None:
        plan = self.model.plan_seal(jobs_max)
        sealed = seal.seal(self.engine, floor, jobs_max=jobs_max, batch_max=batch_max, force=force)
        self.floors.append(sealed.floor)
        if self.held_seal:
            assert (sealed.locked, sealed.jobs, sealed.more) == (False, 0, False)
            return
        assert (sealed.locked, sealed.jobs, sealed.more) == (True, len(plan.jobs), plan.more)
        self.model.seal(plan)

    @precondition(lambda self: not self.held_seal)
    @rule(jobs_max=st.integers(1, 6))
    def seal_and_linger(self, jobs_max: int) -> None:
        """A sealer has done its step and not committed it yet."""
        self.other_sealer.execute("begin")
        self.lingering = self.model.plan_seal(jobs_max)
        self.other_sealer.execute(statement("seal/lock"))
        # A machine that is slow to shrink a failure must not be taken for a sealer that has frozen.
        self.other_sealer.execute("set local idle_in_transaction_session_timeout = 0")
        wanted = {"floor": 0, "jobs_max": jobs_max, "batch_max": 3, "force": False}
        row = self.other_sealer.execute(statement("seal/seal"), wanted).fetchone()
        assert row is not None
        assert row[2] == len(self.lingering.jobs)
        self.held_seal = True

    @precondition(lambda self: self.held_seal)
    @rule(dies=st.booleans())
    def lingering_sealer_ends(self, dies: bool) -> None:
        """It commits, or dies, and then nothing of its step was done."""
        self.other_sealer.execute("rollback" if dies else "commit")
        self.held_seal = False
        if not dies:
            self.model.seal(self.lingering)

    # ----------------------------------------------------------------- claim

    @precondition(lambda self: self.places(Place.READY))
    @rule(
        number=workers,
        queues=st.sampled_from((None, ["a"], ["b"])),
        kinds=st.sampled_from((KINDS, ("k",))),
        budget=st.integers(1, 10),
        batches_max=st.integers(1, 4),
    )
    def claim(
        self, number: int, queues: list[str] | None, kinds: tuple[str, ...], budget: int, batches_max: int
    ) -> None:
        """A worker takes about `budget` jobs, splitting the last batch, from the lanes it has handlers for."""
        worker = pick(self.workers, number)
        lanes = {lane.id: lane for lane in claim.lanes(self.engine, kinds, queues)}
        wants = [claim.LaneRequest(lane, claim.FROM_THE_START, 1.0) for lane in lanes]
        open_to = [
            job
            for job in self.places(Place.READY)
            if job.queue in (queues or QUEUES) and job.kind in kinds and job.queue not in self.model.paused
        ]
        claimed = claim.claim(self.engine, worker.id, wants, budget_us=float(budget), batches_max=batches_max)
        assert claimed.registered
        assert claimed.jobs <= budget
        if claimed.jobs < budget and len(claimed.leases) < batches_max:
            assert claimed.jobs == len(open_to), f"ready and not claimed: {open_to}"
        for lease in claimed.leases:
            self._leased(worker, lease, lanes[lease.lane])
        ids = [job_id for lease in claimed.leases for job_id in lease.ids]
        if ids:
            found = claim.bodies(self.engine, ids)
            assert sorted(found) == sorted(ids)
            worker.order = ids if not worker.order and worker.order is not None else None

    def _leased(self, worker: Worker, lease: claim.Lease, lane: claim.Lane) -> None:
        attempts = lease.attempts or [0] * len(lease.ids)
        for job_id, spent in zip(lease.ids, attempts, strict=True):
            job = self.model.jobs[job_id]
            assert job.place is Place.READY, f"claimed though not ready: {job}"
            assert job.queue not in self.model.paused, f"claimed from a paused queue: {job}"
            assert (job.queue, job.kind, job.priority) == lane[1:4]
            assert (job.retry_round, job.spent) == (lease.retry_round, spent or 0)
            job.lease(worker.id)

    # ---------------------------------------------------------------- settle

    @precondition(lambda self: self.places(Place.LEASED))
    @rule(number=workers, results=outcomes, skip=numbers, noise=numbers, now=st.booleans())
    def settle(self, number: int, results: list[JobState], skip: int, noise: int, now: bool) -> None:
        """A worker settles some of its jobs, and some that are not (or no longer) its own."""
        worker = pick(self.workers, number)
        mine = self.leased_by(worker)[skip % 3 :][: len(results)]
        strangers = [job for job in self.model.committed if job.owner != worker.id]
        others = sorted(strangers, key=lambda job: (job.place is not Place.LEASED, job.id))[noise : noise + 3]
        outcome_of = {job.id: self._possible(job, outcome) for job, outcome in zip(mine, results, strict=False)}
        sent = [settlement(job_id, outcome, delay_us=0 if now else HOUR_US) for job_id, outcome in outcome_of.items()]
        sent += [settlement(job.id, JobState.Completed) for job in others]
        accepted = settle.settle(self.engine, worker.id, sent)
        assert accepted == set(outcome_of)
        self._settled(worker, outcome_of, now)

    @precondition(lambda self: self.places(Place.LEASED))
    @rule(number=workers, keep=numbers)
    def release(self, number: int, keep: int) -> None:
        """A worker hands its lease back, or a part of it."""
        worker = pick(self.workers, number)
        mine = self.leased_by(worker)
        kept, freed = mine[:keep], mine[keep:]
        assert settle.release(self.engine, worker.id, [job.id for job in kept]) == len(freed)
        for job in freed:
            job.ready()
        worker.order = None if kept else []

    def _possible(self, job: ModelJob, outcome: JobState) -> JobState:
        """No attempts left means failed; that is the worker's to know."""
        exhausted = outcome is JobState.Retryable and job.spent + 1 >= job.max_attempts
        return JobState.Failed if exhausted else outcome

    def _settled(self, worker: Worker, outcome_of: dict[int, JobState], now: bool) -> None:
        for job_id, outcome in outcome_of.items():
            self.model.jobs[job_id].settle(outcome, due=now)
            self.settled_rows += outcome is not JobState.Scheduled
        self._tidy(worker)

    def _tidy(self, worker: Worker) -> None:
        """With nothing left in its lease, a worker's next claim is its only one again."""
        if not self.model.leased_by(worker.id):
            worker.order = []

    # ---------------------------------------------------------------- rescue

    @precondition(lambda self: self.places(Place.LEASED))
    @rule(number=workers, finished=st.integers(0, 2), running=st.sampled_from(("unknown", "none", "known", "wrong")))
    def worker_dies(self, number: int, finished: int, running: str) -> None:
        """Some of its jobs were finished, one may have been running, the rest were not begun."""
        worker = self.workers.pop(number)
        mine = self.leased_by(worker)
        done, rest = mine[:finished], mine[finished:]
        suspect = {"unknown": None, "none": 0, "wrong": 1, "known": rest[-1].id if rest else 0}[running]
        results = [settlement(job.id, JobState.Completed) for job in done]
        rescued = rescue.rescue(self.engine, worker.id, rescue.WorkerExit("killed by SIGKILL", suspect), results)
        assert rescued.settled == len(done)
        self._settled(worker, {job.id: JobState.Completed for job in done}, now=False)
        if running == "unknown":
            self._check_suspect(worker, rescued.suspect, rest)
        else:
            assert rescued.suspect == (suspect if running == "known" and rest else None)
        self._taken_apart(worker, rescued.suspect, rest)
        assert rescued.returned == len(rest) - (rescued.suspect is not None)
        self.hire()

    @precondition(lambda self: self.places(Place.LEASED))
    @rule(number=workers, orphan=st.booleans())
    def node_is_lost(self, number: int, orphan: bool) -> None:
        """A node's heartbeat stops; or a worker is signed out while its claim was under way."""
        victim = pick(self.workers, number)
        silent: dict[int, int] = {}
        if orphan:
            self.engine.execute("delete from awa.worker where id = %s", [victim.id])
            lost = [victim]
        else:
            silent = {victim.node: nodes.beats(self.engine)[victim.node]}
            lost = [worker for worker in self.workers if worker.node == victim.node]
            del self.nodes[victim.node]
        leases = {worker.id: self.leased_by(worker) for worker in lost}
        assert len(rescue.rescue_stale(self.engine, silent)) == (0 if orphan else 1)
        for worker in lost:
            # Of a lease whose owner was signed out while it claimed, no job was ever begun.
            suspect = None if orphan else self._suspect_of(leases[worker.id])
            self._taken_apart(worker, suspect, leases[worker.id])
            self.workers.remove(worker)
        self.hire()

    def _suspect_of(self, lease: list[ModelJob]) -> int | None:
        """Who was taken for the one that ran: the database tells, by the attempt that is spent."""
        if not lease:
            return None
        ids = [job.id for job in lease]
        rows = self.onlooker.execute(
            "select job_id, count(*) from awa.every_attempt where job_id = any(%s) group by job_id", [ids]
        ).fetchall()
        known = {job.id: len(job.log) for job in lease}
        suspects = [job_id for job_id, count in rows if count > known[job_id]]
        assert len(suspects) == 1, f"of the lease {ids} these have a new attempt: {suspects}"
        return int(suspects[0])

    def _check_suspect(self, worker: Worker, suspect: int | None, rest: list[ModelJob]) -> None:
        if worker.order is not None:
            assert suspect == (rest[0].id if rest else None), "the first unsettled one is the suspect"
        else:
            assert (suspect in [job.id for job in rest]) == bool(rest)

    def _taken_apart(self, worker: Worker, suspect: int | None, lease: list[ModelJob]) -> None:
        for job in lease:
            if job.id != suspect:
                job.ready()
                continue
            job.die()
            self.settled_rows += 1
            if job.place is Place.DEFERRED:
                self._not_yet(job)
        self.dead.append(worker.id)

    def _not_yet(self, job: ModelJob) -> None:
        """Put a back-off of seconds far enough away that a slow machine does not reach it."""
        later = "update awa.deferred set run_at = run_at + interval '1 day' where job_id = %s"
        assert self.engine.execute(later, [job.id]).rowcount == 1

    @precondition(lambda self: self.dead)
    @rule(number=numbers, noise=numbers)
    def dead_worker_speaks(self, number: int, noise: int) -> None:
        """A worker that was only slow settles and claims; it is told that it is dead."""
        dead = pick(self.dead, number)
        known = sorted(self.model.committed, key=lambda job: (job.place is not Place.LEASED, job.id))
        jobs = known[noise : noise + 4]
        late = [settlement(job.id, JobState.Completed) for job in jobs]
        assert settle.settle(self.engine, dead, late) == set()
        lanes = claim.lanes(self.engine, KINDS)
        wants = [claim.LaneRequest(lane.id, claim.FROM_THE_START, 1.0) for lane in lanes]
        claimed = claim.claim(self.engine, dead, wants, budget_us=10.0)
        assert (claimed.leases, claimed.registered) == ([], False)
