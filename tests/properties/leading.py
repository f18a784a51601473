"""Rules of the leader and of operators: promote, cancel, retry, pause, and the life of segments."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from awa.engine import leaving, promote, retire
from awa.engine.admin import control, dlq, queues
from awa.engine.admin.dlq import Scope
from awa.errors import JobNotFound, StateConflict
from tests.properties.model import ModelJob, Place
from tests.properties.survey import survey
from tests.properties.working import numbers
from tests.properties.world import QUEUES, SEGMENT_IDS, World, pick

AT_ONCE = leaving.Retention(0.0, 0.0)
EVEN_LETTERS = leaving.Retention(0.0, 0.0, 0.0)
LONG = leaving.Retention()
jobs = st.integers(0, 80)


class Leading(World):
    """What the leader and operators do."""

    # --------------------------------------------------------------- promote

    @precondition(lambda self: any(job.due for job in self.places(Place.DEFERRED)))
    @rule(jobs_max=st.integers(1, 6), batch_max=st.integers(1, 4))
    def promote(self, jobs_max: int, batch_max: int) -> None:
        """Bring back some that are due."""
        due = {job.id for job in self.places(Place.DEFERRED) if job.due}
        promoted = promote.promote(self.engine, jobs_max=jobs_max, batch_max=batch_max)
        assert promoted.jobs == min(jobs_max, len(due))
        left = {row[0] for row in self.onlooker.execute("select job_id from awa.deferred")}
        brought = due - left
        assert len(brought) == promoted.jobs
        for job_id in brought:
            self.model.jobs[job_id].ready()

    @precondition(lambda self: self.places(Place.DEFERRED))
    @rule(number=jobs)
    def time_passes(self, number: int) -> None:
        """Whatever a job waits for has come."""
        self._make_due(pick(self.places(Place.DEFERRED), number))

    def _make_due(self, job: ModelJob) -> None:
        """Move its time instead of waiting for it; the body's too, where that is what it waits for."""
        self.engine.execute("update awa.deferred set run_at = least(run_at, now()) where job_id = %s", [job.id])
        for table in ("job_log", "job_archive"):
            self.engine.execute(
                f"update awa.{table} set run_at = least(run_at, now()) where id = %s".encode(), [job.id]
            )
        job.due = True

    # --------------------------------------------------------------- control

    @precondition(lambda self: self.model.jobs)
    @rule(number=jobs)
    def cancel(self, number: int) -> None:
        """Cancel any job, wherever it is."""
        job = pick(list(self.model.jobs.values()), number)
        if job.place in (Place.OPEN, Place.GONE):
            with pytest.raises(JobNotFound):
                control.cancel(self.engine, job.id)
            return
        if job.place is Place.UNSEALED:
            if self.held_seal:
                return  # it would wait for that sealer, who cannot go on: the machine is one thread
            self.model.seal_all()
        if job.place is Place.ENDED:
            with pytest.raises(StateConflict):
                control.cancel(self.engine, job.id)
            return
        was_running = job.place is Place.LEASED
        assert control.cancel(self.engine, job.id) == was_running
        job.settle(control.JobState.Cancelled, ran=was_running)
        self.settled_rows += 1

    @precondition(lambda self: self.places(Place.ENDED))
    @rule(number=jobs)
    def retry(self, number: int) -> None:
        """Retry a job that has ended; a completed one is refused."""
        job = pick(self.places(Place.ENDED), number)
        if job.can_be_retried:
            control.retry(self.engine, job.id)
            job.retry()
        else:
            with pytest.raises(StateConflict):
                control.retry(self.engine, job.id)

    @precondition(lambda self: not self.held_seal)
    @rule(queue=st.sampled_from(QUEUES))
    def pause_or_resume(self, queue: str) -> None:
        """Stop claims from a queue, or let them go on."""
        if queue in self.model.paused:
            control.resume(self.engine, queue)
            self.model.paused.discard(queue)
        else:
            control.pause(self.engine, queue)
            self.model.paused.add(queue)

    # ------------------------------------------------------------------- dlq

    @precondition(lambda self: not self.held_seal)
    @rule(queue=st.sampled_from(QUEUES))
    def bury_or_not(self, queue: str) -> None:
        """Have failed jobs of a queue become dead letters from now on, or no more."""
        self.model.burying ^= {queue}
        queues.configure(self.engine, queue, {"dlq": queue in self.model.burying})

    @precondition(lambda self: self.places(Place.ENDED))
    @rule(number=jobs, what=st.sampled_from(("move", "retry", "purge", "discard", "reroute", "later")))
    def operate(self, number: int, what: str) -> None:
        """Do something with one job that has ended; only with the right ones anything happens."""
        job = pick(self.places(Place.ENDED), number)
        has_failed = job.state is control.JobState.Failed
        match what:
            case "move":
                assert dlq.move(self.engine, job.id, "odd") == (has_failed and not job.is_dead)
                job.is_dead = has_failed
            case "purge":
                assert dlq.purge(self.engine, job.id) == job.is_dead
                job.place = Place.GONE if job.is_dead else job.place
            case "discard":
                gone = [each for each in self._failed() if each.kind == job.kind and not each.is_dead]
                assert control.discard_failed(self.engine, job.kind) == len(gone)
                for each in gone:
                    each.place = Place.GONE
            case _ if self.held_seal and what == "reroute":
                return  # a lane that is new to both would be waited for, and the machine is one thread
            case _:
                self._retry_dead(job, what)

    def _retry_dead(self, job: ModelJob, what: str) -> None:
        elsewhere = (pick(QUEUES, job.id), 1 + job.id % 4) if what == "reroute" else (None, None)
        run_at = datetime.now(timezone.utc) + timedelta(days=1) if what == "later" else None
        done = dlq.retry(self.engine, job.id, queue=elsewhere[0], priority=elsewhere[1], run_at=run_at)
        assert done == job.is_dead
        if done:
            job.queue, job.priority = elsewhere[0] or job.queue, elsewhere[1] or job.priority
            job.retry()
            if run_at is not None:
                job.defer("scheduled", due=False)

    @rule(queue=st.sampled_from((None, *QUEUES)), what=st.sampled_from(("move", "retry", "purge")))
    def operate_on_many(self, queue: str | None, what: str) -> None:
        """The same in bulk."""
        failed = [job for job in self._failed() if queue in (None, job.queue)]
        dead = [job for job in failed if job.is_dead]
        match what:
            case "move":
                assert dlq.move_failed(self.engine, None, queue, "odd") == len(failed) - len(dead)
                for job in failed:
                    job.is_dead = True
            case "retry":
                assert dlq.retry_all(self.engine, Scope(queue=queue)) == len(dead)
                for job in dead:
                    job.retry()
            case _:
                assert dlq.purge_all(self.engine, Scope(queue=queue)) == len(dead)
                for job in dead:
                    job.place = Place.GONE

    def _failed(self) -> list[ModelJob]:
        return [job for job in self.places(Place.ENDED) if job.state is control.JobState.Failed]

    # ---------------------------------------------------------------- retire

    @rule(
        duty=st.sampled_from(("watch", "watch", "watch", "retire", "extend", "rotate", "prune")),
        retention=st.sampled_from((AT_ONCE, AT_ONCE, LONG, EVEN_LETTERS)),
        number=numbers,
    )
    def lead(self, duty: str, retention: leaving.Retention, number: int) -> None:
        """One of the duties that let segments come and go. Whatever has not ended must live on."""
        self._do(duty, retention, number)
        may_go = duty in ("retire", "prune") and retention is not LONG
        self._forget_ended(may_go=may_go, letters=may_go and retention is EVEN_LETTERS)

    @rule(retention=st.sampled_from((AT_ONCE, AT_ONCE, LONG)), number=numbers)
    def lead_for_a_while(self, retention: leaving.Retention, number: int) -> None:
        """All of them, as often as it takes for a segment that nobody holds to go."""
        for duty in ("watch", "rotate", "extend", "watch", "watch", "watch", "watch", "retire"):
            self._do(duty, retention, number)
        self._forget_ended(may_go=retention is AT_ONCE)

    def _do(self, duty: str, retention: leaving.Retention, number: int) -> None:
        match duty:
            case "watch":
                if retire.watch(self.engine, pick(self.floors, number)) and not self.held_seal:
                    self.model.seal(self.model.plan_seal(10_000))
            case "retire":
                retire.retire(self.engine, retention, recheck_s=0.0)
            case "extend":
                retire.extend(self.engine, SEGMENT_IDS, 1 + number % 3)
            case "rotate":
                retire.rotate(self.engine, 0.0)
            case _:
                retire.prune(self.engine, retention, recheck_s=0.0)

    def _forget_ended(self, *, may_go: bool, letters: bool = False) -> None:
        seen = survey(self.onlooker)
        for job in self.places(Place.ENDED):
            if job.id not in seen.bodies:
                assert letters if job.is_dead else may_go, f"forgotten before its time: {job}"
                assert job.id not in seen.attempts, f"attempts of a forgotten job: {job}"
                job.place = Place.GONE
