"""Rules of producers: transactions that insert jobs, in every way a transaction can end."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from awa.engine.insert.bulk import insert_many
from awa.engine.insert.single import Envelope, NewJob, insert
from tests.properties.model import ModelJob
from tests.properties.world import KINDS, QUEUES, Producer, World, pick

JOBS_MAX = 100
"""Jobs of one run of the machine: enough for several segments, few enough to be looked at after each step."""

FILED_JOBS = 12
"""So many plain jobs at once are batched here; else it takes more of them."""

producers = st.integers(0, 2)
envelopes = st.builds(
    Envelope,
    queue=st.sampled_from(QUEUES),
    kind=st.sampled_from(KINDS),
    priority=st.sampled_from((1, 2)),
    max_attempts=st.sampled_from((25, 1, 2)),
    run_at=st.sampled_from((None, timedelta(hours=-1), timedelta(days=1))).map(
        lambda delta: delta and datetime.now(timezone.utc) + delta
    ),
    metadata=st.none(),
    tags=st.none(),
    timeout_ms=st.sampled_from((None, 0, 60_000)),
    delay_s=st.none(),
    expires_at=st.none(),
    ordering_key=st.none(),
)
new_jobs = envelopes.map(lambda envelope: NewJob(b"{}", envelope))


class Producing(World):
    """What producers do."""

    @precondition(lambda self: len(self.model.jobs) < JOBS_MAX)
    @rule(number=producers, job=new_jobs, jobs=st.sampled_from((1, 2, FILED_JOBS)), opens=st.booleans())
    def insert(self, number: int, job: NewJob, jobs: int, opens: bool) -> None:
        """Insert one job or (by COPY) several: in the producer's transaction, a new one, or one of their own."""
        producer = self.producers[number]
        if opens and not producer.open:
            producer.connection.execute("begin")
            producer.open = True
        if jobs == 1:
            self._inserted(producer, [insert(producer.connection, job).id], job)
            return
        with producer.connection.transaction():
            self._inserted(producer, insert_many(producer.connection, [job] * jobs).ids, job)

    @precondition(lambda self: any(producer.open for producer in self.producers))
    @rule(number=producers, back=st.booleans())
    def savepoint(self, number: int, back: bool) -> None:
        """Set a savepoint, or undo what came after the last one."""
        producer = self._open(number)
        if not back:
            producer.connection.execute(f"savepoint s{len(producer.parts)}".encode())
            producer.parts.append([])
        elif len(producer.parts) > 1:
            self.model.forget(producer.parts.pop())
            producer.connection.execute(f"rollback to savepoint s{len(producer.parts)}".encode())

    @rule(number=producers, job=new_jobs)
    def take_id_early(self, number: int, job: NewJob) -> None:
        """Take an id long before it is used, or use the one taken."""
        producer = self.producers[number]
        if not producer.open:
            producer.connection.execute("begin")
            producer.open = True
        if not producer.taken:
            (taken,) = producer.connection.execute("select nextval('awa.job_id')").fetchone() or ()
            producer.taken.append(taken)
            return
        taken = producer.taken.pop()
        producer.connection.execute(
            "insert into awa.job_log (id, queue, kind, priority, max_attempts, run_at) values (%s, %s, %s, %s, %s, %s)",
            [taken, *job.envelope[:5]],
        )
        self._inserted(producer, [taken], job)

    @precondition(lambda self: any(producer.open for producer in self.producers))
    @rule(number=producers, how=st.sampled_from(("commit", "commit", "commit", "rollback", "prepare")))
    def end(self, number: int, how: str) -> None:
        """End a transaction, or leave that to a transaction manager."""
        producer = self._open(number)
        if how == "prepare":
            name = f"{producer.connection.info.dbname}_{producer.connection.info.backend_pid}_{len(self.model.jobs)}"
            if name in self.prepared:
                return
            self.prepared[name] = [*producer.ids, *producer.taken]
            how = f"prepare transaction '{name}'"
        elif how == "commit":
            self.model.commit(producer.ids)
        else:
            self.model.forget(producer.ids)
        producer.connection.execute(how.encode())
        producer.end()

    @precondition(lambda self: self.prepared)
    @rule(number=producers, commits=st.booleans())
    def finish_prepared(self, number: int, commits: bool) -> None:
        """The transaction manager decides."""
        name = pick(list(self.prepared), number)
        ids = [job_id for job_id in self.prepared.pop(name) if job_id in self.model.jobs]
        if commits:
            self.engine.execute(f"commit prepared '{name}'".encode())
            self.model.commit(ids)
        else:
            self.engine.execute(f"rollback prepared '{name}'".encode())
            self.model.forget(ids)

    def _open(self, number: int) -> Producer:
        return pick([producer for producer in self.producers if producer.open], number)

    def _inserted(self, producer: Producer, ids: list[int], job: NewJob) -> None:
        """Note new jobs with the transaction they belong to, which the server tells."""
        rows = producer.connection.execute(
            "select id, xid::text::bigint from awa.job_log where id = any(%s) order by id", [ids]
        ).fetchall()
        assert [row[0] for row in rows] == sorted(ids)
        said = job.envelope
        is_batched = len(ids) == FILED_JOBS and said.run_at is None
        assert all((xid is None) == is_batched for _, xid in rows)
        later = said.run_at is not None and said.run_at > datetime.now(timezone.utc)
        for job_id, xid in rows:
            self.model.jobs[job_id] = ModelJob(
                *(job_id, said.queue, said.kind, said.priority, said.max_attempts, later, xid),
                burying=self.model.burying,
                born=(said.queue, said.priority),
            )
        if producer.open:
            producer.parts[-1] += ids
        else:
            self.model.commit(ids)
