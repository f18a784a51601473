"""The machine: all rules together, and how everything must end."""

from __future__ import annotations

from awa.engine import claim, promote, retire, seal, settle
from awa.engine.admin import control
from awa.job.model import JobState
from tests.properties.leading import EVEN_LETTERS, Leading
from tests.properties.model import Place
from tests.properties.producing import Producing
from tests.properties.survey import survey
from tests.properties.working import Working, settlement
from tests.properties.world import KINDS, SEGMENT_IDS

ROUNDS_MAX = 200
RETIRE_ROUNDS_MAX = 30


class Machine(Producing, Working, Leading):
    """Producers, sealers, workers, operators and the leader on one database."""

    def finish(self) -> None:
        """End all transactions, run everything, and forget everything."""
        self._end_transactions()
        ends = self._run_everything()
        still = [job for job in self.model.committed if job.place is not Place.ENDED]
        assert not still, f"these never ran: {still}"
        assert all(times == 1 for times in ends.values()), f"run more than once: {ends}"
        self.database_agrees()
        tallied = self.onlooker.execute("select coalesce(sum(jobs), 0) from awa.outcome_count").fetchone()
        assert tallied == (self.settled_rows,), "the outcome count counts every settled attempt once"
        self._retire_everything()

    def _end_transactions(self) -> None:
        if self.held_seal:
            self.lingering_sealer_ends(dies=False)
        for number in range(len(self.producers)):
            if self.producers[number].open:
                self.end(0, "commit")
        while self.prepared:
            self.finish_prepared(0, commits=True)
        for queue in list(self.model.paused):
            control.resume(self.engine, queue)
            self.model.paused.discard(queue)

    def _run_everything(self) -> dict[int, int]:
        """Complete every job that has not ended; return how often each was completed here."""
        ends: dict[int, int] = {}
        seal.seal_all(self.engine)
        self.model.seal_all()
        for job in self.places(Place.DEFERRED):
            self._make_due(job)
        for _ in range(ROUNDS_MAX):
            promote.promote(self.engine)
            for job in self.places(Place.DEFERRED):
                job.ready()
            done = [self._complete(worker.id) for worker in self.workers]
            for job_id in (job_id for ids in done for job_id in ids):
                ends[job_id] = ends.get(job_id, 0) + 1
            if not any(done):
                return ends
        raise AssertionError(f"still running after {ROUNDS_MAX} rounds")

    def _complete(self, worker: int) -> list[int]:
        wants = [claim.LaneRequest(lane.id, claim.FROM_THE_START, 1.0) for lane in claim.lanes(self.engine, KINDS)]
        claimed = claim.claim(self.engine, worker, wants, budget_us=7.0)
        for lease in claimed.leases:
            for job_id in lease.ids:
                self.model.jobs[job_id].lease(worker)
        mine = [job.id for job in self.model.leased_by(worker)]
        accepted = settle.settle(self.engine, worker, [settlement(job_id, JobState.Completed) for job_id in mine])
        assert accepted == set(mine)
        self.settled_rows += len(mine)
        for job_id in mine:
            self.model.jobs[job_id].settle(JobState.Completed)
        return mine

    def _retire_everything(self) -> None:
        """Nobody is left who could hold a segment: all that were left by the sequence go, and nothing remains."""
        for _ in range(RETIRE_ROUNDS_MAX):
            retire.extend(self.engine, SEGMENT_IDS, 1)
            retire.watch(self.engine)
            retire.rotate(self.engine, 0.0)
            retire.retire(self.engine, EVEN_LETTERS, recheck_s=0.0)
            retire.prune(self.engine, EVEN_LETTERS, recheck_s=0.0)
            if not survey(self.onlooker).bodies:
                break
        self._forget_ended(may_go=True, letters=True)
        self.database_agrees()
        assert not self.model.committed, f"never forgotten: {self.model.committed}"
